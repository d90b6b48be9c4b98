//! What secrets print: never themselves.

use core::fmt::Debug;

use symbolon_keys::hazmat::{ChaChaPoly, KemSecretKey};
use symbolon_keys::passphrase::Passphrase;
use symbolon_keys::wire::Reader;
use symbolon_keys::{
    Backend, DhSecretKey, Identity, IdentityFile, MacKey, Noise, OneTimeKey, OsRng, Psk, RootKey, Secret,
    SigningKey, Table,
};

fn secret<const N: usize>() -> Secret<N> {
    Secret::from([0xab; N])
}

/// The text, in both forms of `Debug`, which must be one.
fn shown(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    for bytes in ["abab", "171, 171", "AB, AB"] {
        assert!(!format!("{value:#?} {text}").contains(bytes), "{text} shows its bytes");
    }
    text
}

#[test]
fn secrets_do_not_print() {
    assert_eq!(shown(&secret::<32>()), "Secret<32>(..)");
    assert_eq!(shown(&secret::<16>()), "Secret<16>(..)");
    assert_eq!(shown(&Psk::from(secret())), "Psk(Secret<32>(..))");
    assert_eq!(shown(&RootKey::from(secret())), "RootKey(..)");
    assert_eq!(shown(&MacKey::from(secret())), "MacKey(..)");
    assert_eq!(shown(&Passphrase::new("abababab").unwrap()), "Passphrase(..)");
    for &backend in Backend::ALL {
        assert_eq!(
            shown(&KemSecretKey::from_seed(backend, &secret())),
            format!("KemSecretKey({backend}, ..)")
        );
        assert_eq!(
            shown(&KemSecretKey::generate(backend, &mut OsRng)),
            format!("KemSecretKey({backend}, ..)")
        );
        assert_eq!(shown(&ChaChaPoly::new(backend, &secret())), format!("ChaChaPoly({backend}, ..)"));
        assert_eq!(
            shown(&OneTimeKey::new(backend, &secret())),
            format!("OneTimeKey(ChaChaPoly({backend}, ..))")
        );
    }
}

#[test]
fn key_pairs_print_their_public_half() {
    for &backend in Backend::ALL {
        let noise = DhSecretKey::<Noise>::from_secret(backend, secret());
        assert_eq!(shown(&noise), format!("DhSecretKey<noise>({}, ..)", noise.public_key()));
        assert_eq!(
            format!("{:?}", noise.public_key()),
            format!("DhPublicKey<noise>({})", noise.public_key())
        );
        assert_eq!(noise.public_key().to_string().len(), 64);
        let table = DhSecretKey::<Table>::from_secret(backend, secret());
        assert_eq!(shown(&table), format!("DhSecretKey<table>({}, ..)", table.public_key()));
        let peer = DhSecretKey::<Noise>::from_secret(backend, Secret::from([1; 32]));
        let shared = noise.diffie_hellman(peer.public_key()).unwrap();
        assert_eq!(shown(&shared), "SharedSecret(Secret<32>(..))");
        let id = Identity::from_seed(backend, secret());
        assert_eq!(shown(&id), format!("Identity({}, ..)", id.public().fingerprint()));
        assert_eq!(format!("{:?}", id.public()), format!("PublicIdentity({})", id.public().fingerprint()));
    }
    let signing = SigningKey::from_seed(&secret());
    assert_eq!(shown(&signing), format!("SigningKey({}, ..)", signing.verifying_key()));
    assert_eq!(
        format!("{:?}", signing.verifying_key()),
        format!("VerifyingKey({})", signing.verifying_key())
    );
}

#[test]
fn readers_print_what_is_left_to_read_only() {
    let mut reader = Reader::new(&[0xab; 40]);
    assert_eq!(shown(&reader), "Reader(40 bytes left)");
    reader.u64().unwrap();
    assert_eq!(shown(&reader), "Reader(32 bytes left)");
}

#[test]
fn files_print_their_path() {
    let file = IdentityFile::at("alice.key").backend(Backend::Portable);
    assert_eq!(shown(&file), r#"IdentityFile { path: "alice.key", backend: Portable }"#);
}
