//! Messages changed on their way: refused, the state unchanged, and the true ones still taken.

use std::sync::Arc;

use symbolon_agreement::noise::{HandshakeState, NoiseError, Protocol, Role};
use symbolon_keys::{Backend, NoisePublicKey, NoiseSecretKey, OsRng, Psk, Secret};

use crate::tampered;

fn ends(name: &str, backend: Backend) -> [HandshakeState<'static>; 2] {
    let protocol: Protocol = name.parse().unwrap();
    let [i, r] = [0; 2].map(|_| Arc::new(NoiseSecretKey::generate(backend, &mut OsRng)));
    let pattern = name.split('_').nth(1).unwrap();
    let psks = pattern.matches("psk").count();
    let known = |letter: usize| pattern.as_bytes()[letter] == b'K';
    let build = |role, mine: &Arc<NoiseSecretKey>, theirs: Option<NoisePublicKey>| {
        let mut builder =
            HandshakeState::builder(protocol, role).backend(backend).local_static(Arc::clone(mine));
        if let Some(theirs) = theirs {
            builder = builder.remote_static(theirs);
        }
        for n in 0..psks {
            builder = builder.psk(Psk::from(Secret::from([n as u8; 32])));
        }
        builder.build().unwrap()
    };
    let r_key = known(1).then(|| *r.public_key());
    let i_key = known(0).then(|| *i.public_key());
    [build(Role::Initiator, &i, r_key), build(Role::Responder, &r, i_key)]
}

const NAMES: [&str; 8] = [
    "Noise_XX_25519_ChaChaPoly_SHA256",
    "Noise_XXpsk3_25519_ChaChaPoly_SHA256",
    "Noise_IK_25519_ChaChaPoly_SHA256",
    "Noise_IKpsk2_25519_ChaChaPoly_SHA256",
    "Noise_NKpsk0_25519_ChaChaPoly_SHA256",
    "Noise_KK_25519_ChaChaPoly_SHA256",
    "Noise_IX_25519_ChaChaPoly_SHA256",
    "Noise_XK_25519_ChaChaPoly_SHA256",
];

/// Every byte flipped, cut, or added to. In a message without a tag (before the first key) a change shows in the next
/// one, so there only lengths are checked here; `steps` checks that the exchange as a whole fails.
#[test]
fn a_changed_message_changes_nothing() {
    for name in NAMES {
        for &backend in Backend::ALL {
            let [mut a, mut b] = ends(name, backend);
            let (mut from, mut to) = (&mut a, &mut b);
            while !from.is_complete() {
                let message = from.write_message(b"payload", &mut OsRng).unwrap();
                let before = *to.handshake_hash();
                // Only the first message can be without a tag: its payload then travels as it is.
                let in_clear = message.ends_with(b"payload");
                for bad in tampered(&message).into_iter().filter(|bad| !in_clear || bad.len() < 32) {
                    assert_eq!(to.read_message(&bad), Err(NoiseError::Rejected), "{name}");
                    assert_eq!(*to.handshake_hash(), before);
                }
                assert_eq!(to.read_message(&message).unwrap(), b"payload");
                core::mem::swap(&mut from, &mut to);
            }
            let (mut a, mut b) = (a.into_transport().unwrap(), b.into_transport().unwrap());
            let message = a.write_message(b"payload").unwrap();
            for bad in tampered(&message) {
                assert_eq!(b.read_message(&bad), Err(NoiseError::Rejected));
            }
            assert_eq!(b.read_message(&message).unwrap(), b"payload");
            assert_eq!(b.read_message(&message), Err(NoiseError::Rejected), "replayed");
        }
    }
}

#[test]
fn a_changed_hybrid_message_changes_nothing() {
    for &backend in Backend::ALL {
        let [mut i, mut r] = ends("Noise_XXhfs_25519+MLKEM768_ChaChaPoly_SHA256", backend);
        let m1 = i.write_message(b"", &mut OsRng).unwrap();
        assert_eq!(r.read_message(&m1[..1215]), Err(NoiseError::Rejected));
        r.read_message(&m1).unwrap();
        let m2 = r.write_message(b"", &mut OsRng).unwrap();
        // One bit in each part: the ephemeral key, the ciphertext, its tag, the static key, the payload.
        for place in [0, 32, 700, 1119, 1120, 1135, 1136, 1167, 1183, 1184, 1199] {
            let mut bad = m2.clone();
            bad[place] ^= 1;
            assert_eq!(i.read_message(&bad), Err(NoiseError::Rejected), "{place}");
        }
        i.read_message(&m2).unwrap();
        let m3 = i.write_message(b"", &mut OsRng).unwrap();
        for bad in tampered(&m3) {
            assert_eq!(r.read_message(&bad), Err(NoiseError::Rejected));
        }
        r.read_message(&m3).unwrap();
        assert_eq!(i.handshake_hash(), r.handshake_hash());
    }
}

#[test]
fn an_encapsulation_key_that_is_none_is_refused() {
    // FIPS 203, 7.2: coefficients must be below q. 0xfff is not.
    for &backend in Backend::ALL {
        let [mut i, mut r] = ends("Noise_XXhfs_25519+MLKEM768_ChaChaPoly_SHA256", backend);
        let mut m1 = i.write_message(b"", &mut OsRng).unwrap();
        m1[32..35].copy_from_slice(&[0xff; 3]);
        let read = r.read_message(&m1);
        let answered = read.and_then(|_| r.write_message(b"", &mut OsRng));
        assert_eq!(answered, Err(NoiseError::Rejected));
    }
}

#[test]
fn low_order_points_end_the_handshake() {
    let low_order = [[0; 32], core::array::from_fn(|n| u8::from(n == 0))];
    for &backend in Backend::ALL {
        for point in low_order {
            let [_, mut r] = ends("Noise_IK_25519_ChaChaPoly_SHA256", backend);
            let mut m1 = point.to_vec();
            m1.extend([0; 64]);
            assert_eq!(r.read_message(&m1), Err(NoiseError::Rejected));
            // XX: the point is only used in the answer.
            let [_, mut r] = ends("Noise_XX_25519_ChaChaPoly_SHA256", backend);
            r.read_message(&point).unwrap();
            assert_eq!(r.write_message(b"", &mut OsRng), Err(NoiseError::Rejected));
        }
    }
}

#[test]
fn turns_and_lengths() {
    let [mut i, mut r] = ends("Noise_XX_25519_ChaChaPoly_SHA256", Backend::best());
    assert_eq!(r.write_message(b"", &mut OsRng), Err(NoiseError::OutOfTurn));
    assert_eq!(i.read_message(&[0; 32]), Err(NoiseError::OutOfTurn));
    assert_eq!(i.write_message(&vec![0; 65_504], &mut OsRng), Err(NoiseError::TooLong));
    let m1 = i.write_message(&vec![0; 65_503], &mut OsRng).unwrap();
    assert_eq!(m1.len(), 65_535);
    assert_eq!(r.read_message(&vec![0; 65_536]), Err(NoiseError::Rejected));
    assert_eq!(r.read_message(&m1).unwrap().len(), 65_503);
    assert!(i.into_transport().is_err(), "the handshake is not complete");
}

#[test]
fn keys_must_fit_the_pattern() {
    let xx: Protocol = "Noise_XX_25519_ChaChaPoly_SHA256".parse().unwrap();
    let ik: Protocol = "Noise_IK_25519_ChaChaPoly_SHA256".parse().unwrap();
    let key = NoiseSecretKey::generate(Backend::best(), &mut OsRng);
    let public = *key.public_key();
    let build = |protocol, role| HandshakeState::builder(protocol, role);
    let error = |builder: symbolon_agreement::noise::HandshakeBuilder<'_, '_>| builder.build().unwrap_err();
    assert_eq!(error(build(xx, Role::Initiator).remote_static(public)), NoiseError::UnusedKey);
    assert_eq!(error(build(ik, Role::Initiator).local_static(&key)), NoiseError::MissingKey);
    assert_eq!(error(build(ik, Role::Responder)), NoiseError::MissingKey);
    let psk = || Psk::from(Secret::from([1; 32]));
    assert_eq!(error(build(xx, Role::Initiator).psk(psk())), NoiseError::UnusedKey);
    // A key whose place comes later is missed when it does; the state stays where it was.
    let psk3: Protocol = "Noise_NNpsk0_25519_ChaChaPoly_SHA256".parse().unwrap();
    let mut state = build(psk3, Role::Initiator).build().unwrap();
    assert_eq!(state.write_message(b"", &mut OsRng), Err(NoiseError::MissingKey));
    assert!(state.is_my_turn());
}

#[test]
fn prologues_must_agree() {
    let protocol: Protocol = "Noise_NN_25519_ChaChaPoly_SHA256".parse().unwrap();
    let mut i = HandshakeState::builder(protocol, Role::Initiator).prologue(b"one").build().unwrap();
    let mut r = HandshakeState::builder(protocol, Role::Responder).prologue(b"two").build().unwrap();
    r.read_message(&i.write_message(b"", &mut OsRng).unwrap()).unwrap();
    let m2 = r.write_message(b"", &mut OsRng).unwrap();
    assert_eq!(i.read_message(&m2), Err(NoiseError::Rejected));
}
