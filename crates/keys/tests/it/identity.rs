//! Identities: keys, bytes, text, fingerprint (`docs/identity.md`).

use proptest::prelude::*;
use symbolon_keys::{
    Backend, DhPublicKey, Fingerprint, Identity, InvalidFingerprint, InvalidIdentity, InvalidKey, Label,
    Noise, PublicIdentity, Secret,
};

use crate::common::{Counter, array, bytes, text, vectors};

fn identity(backend: Backend, seed: u8) -> Identity {
    Identity::from_seed(backend, Secret::from([seed; 32]))
}

#[test]
fn vectors_hold_on_every_backend() {
    let cases = vectors("identity.json");
    assert_eq!(cases.len(), 3);
    for case in &cases {
        for &backend in Backend::ALL {
            let id = Identity::from_seed(backend, Secret::from(array(&case["seed"])));
            let keys = &case["keys"];
            assert_eq!(id.noise_key().expose().expose(), &array(&keys["noise"]));
            assert_eq!(id.table_key().expose().expose(), &array(&keys["table"]));
            assert_eq!(id.age_key().expose().expose(), &array(&keys["age"]));
            assert_eq!(id.public().to_bytes()[..], bytes(&case["public"]));
            assert_eq!(id.public().to_string(), text(&case["public_text"]));
            assert_eq!(*id.to_secret_text(), text(&case["secret_text"]));
            assert_eq!(id.public().fingerprint().as_bytes(), &array(&case["fingerprint"]));
            assert_eq!(id.public().fingerprint().to_string(), text(&case["fingerprint_text"]));
            let again = Identity::from_text(backend, text(&case["secret_text"])).unwrap();
            assert_eq!(again.expose().expose(), &array(&case["seed"]));
        }
    }
}

#[test]
fn bad_vectors_are_refused_each_for_its_reason() {
    let cases = vectors("identity-bad.json");
    assert_eq!(cases.len(), 65);
    for case in &cases {
        let error = match text(&case["kind"]) {
            "public" => text(&case["text"]).parse::<PublicIdentity>().unwrap_err(),
            _ => text(&case["text"]).parse::<Identity>().unwrap_err(),
        };
        assert_eq!(format!("{error:?}"), text(&case["error"]), "{} {}", case["kind"], case["name"]);
    }
}

#[test]
fn upper_case_reads_as_a_qr_code_gives_it() {
    let id = identity(Backend::best(), 7);
    let (public, secret) = (id.public().to_string(), id.to_secret_text());
    assert_eq!(&public.to_uppercase().parse::<PublicIdentity>().unwrap(), id.public());
    assert_eq!(secret.to_uppercase().parse::<Identity>().unwrap().public(), id.public());
}

#[test]
fn the_four_keys_are_those_of_the_public_identity() {
    const PURPOSE: Label = Label::new("example.org/test/v1");
    for &backend in Backend::ALL {
        let id = Identity::generate(backend, &mut Counter::default());
        let public = id.public();
        assert_eq!(id.noise_key().public_key(), public.noise_key());
        assert_eq!(id.table_key().public_key(), public.table_key());
        assert_eq!(id.age_key().public_key(), public.age_key());
        let signature = id.signing_key().sign(PURPOSE, &[b"x"]).unwrap();
        assert_eq!(public.verifying_key().verify(PURPOSE, &[b"x"], &signature), Ok(()));
    }
}

#[test]
fn binary_form_has_one_length() {
    let bytes = identity(Backend::Portable, 1).public().to_bytes();
    assert!(PublicIdentity::from_bytes(&bytes).is_ok());
    for len in 0..bytes.len() {
        assert_eq!(PublicIdentity::from_bytes(&bytes[..len]), Err(InvalidIdentity::Length), "{len} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(PublicIdentity::from_bytes(&longer), Err(InvalidIdentity::Length));
}

#[test]
fn generated_identities_differ() {
    let mut rng = Counter::default();
    let mut make = || Identity::generate(Backend::best(), &mut rng).public().clone();
    let (a, b) = (make(), make());
    assert_ne!(a, b);
    assert_ne!(a.fingerprint(), b.fingerprint());
}

#[test]
fn fingerprints_are_read_as_they_are_printed() {
    let fingerprint = Fingerprint::from([0, 1, 255, 255, 0, 0, 48, 57, 0, 9, 1, 0, 127, 255, 128, 0]);
    let shown = "00001 65535 00000 12345 00009 00256 32767 32768";
    assert_eq!(fingerprint.to_string(), shown);
    assert_eq!(shown.parse(), Ok(fingerprint));
    for bad in [
        "",
        "00001 65535 00000 12345 00009 00256 32767",
        "00001 65535 00000 12345 00009 00256 32767 32768 00000",
        "00001 65536 00000 12345 00009 00256 32767 32768",
        "1 65535 00000 12345 00009 00256 32767 32768",
        "+0001 65535 00000 12345 00009 00256 32767 32768",
        "00001  65535 00000 12345 00009 00256 32767 32768",
        " 00001 65535 00000 12345 00009 00256 32767 32768",
        "00001 65535 00000 12345 00009 00256 32767 32768\n",
    ] {
        assert_eq!(bad.parse::<Fingerprint>(), Err(InvalidFingerprint), "{bad:?}");
    }
}

#[test]
fn messages_say_what_to_do() {
    let messages = [
        (
            InvalidIdentity::IsSecret,
            "this is a secret identity where a public one is wanted: show it to nobody, and give the one that \
             begins with symbolon-pub1",
        ),
        (
            InvalidIdentity::IsPublic,
            "this is a public identity where a secret one is wanted: give the one that begins with symbolon-sec1",
        ),
        (InvalidIdentity::Text, "not an identity: a character that none has, or mixed upper and lower case"),
        (InvalidIdentity::Prefix, "not an identity: it begins with neither symbolon-pub1 nor symbolon-sec1"),
        (InvalidIdentity::Checksum, "the checksum is wrong: a typing error, or a part is missing"),
        (InvalidIdentity::Length, "the identity is too short or too long"),
        (InvalidIdentity::Padding, "the identity is not in its canonical form: padding is not zero"),
        (
            InvalidIdentity::Version(9),
            "the identity has version 9, this program reads version 1: use a newer one",
        ),
        (
            InvalidIdentity::Key(InvalidKey::LowOrder),
            "a key of the identity is refused: public key is a point of low order",
        ),
        (InvalidIdentity::SameKey, "the identity has one key for two protocols"),
    ];
    for (error, message) in messages {
        assert_eq!(error.to_string(), message);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::common::cases()))]

    #[test]
    fn text_and_bytes_come_back(seed: [u8; 32]) {
        let id = Identity::from_seed(Backend::best(), Secret::from(seed));
        prop_assert_eq!(&id.public().to_string().parse::<PublicIdentity>().unwrap(), id.public());
        prop_assert_eq!(&PublicIdentity::from_bytes(&id.public().to_bytes()).unwrap(), id.public());
        let again: Identity = id.to_secret_text().parse().unwrap();
        prop_assert_eq!(again.expose().expose(), &seed);
        let fingerprint = id.public().fingerprint();
        prop_assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }

    /// The checksum finds up to three wrong characters, wherever they are.
    #[test]
    fn typing_errors_are_found(at: [prop::sample::Index; 3], by in prop::array::uniform3(1_usize..32)) {
        const SET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
        let id = identity(Backend::Portable, 3);
        let good = id.public().to_string();
        let mut typed = good.clone().into_bytes();
        for (at, by) in at.iter().zip(by) {
            let at = 13 + at.index(good.len() - 13);
            let value = SET.iter().position(|&c| c == typed[at]).unwrap();
            typed[at] = SET[(value + by) % 32];
        }
        let typed = String::from_utf8(typed).unwrap();
        if typed != good {
            prop_assert_eq!(typed.parse::<PublicIdentity>(), Err(InvalidIdentity::Checksum));
        }
    }

    #[test]
    fn whatever_is_read_is_canonical(text in "symbolon-(pub|sec)1[a-z0-9]{0,230}|.{0,300}") {
        if let Ok(id) = text.parse::<PublicIdentity>() {
            prop_assert_eq!(id.to_string(), text.to_lowercase());
        }
        if let Ok(id) = text.parse::<Identity>() {
            prop_assert_eq!(&*id.to_secret_text(), &text.to_lowercase());
        }
    }

    #[test]
    fn any_bytes_are_a_public_identity_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(id) = PublicIdentity::from_bytes(&bytes) {
            prop_assert_eq!(&id.to_bytes()[..], &bytes[..]);
        }
        if let Ok(bytes) = <[u8; 32]>::try_from(&bytes[..]) {
            let _ = DhPublicKey::<Noise>::from_bytes(bytes);
        }
    }
}
