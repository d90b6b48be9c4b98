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
    // Of one-way patterns, which have one letter, the responder is always known.
    let letters: Vec<char> =
        pattern.chars().take_while(|c| !c.is_ascii_lowercase()).filter(|c| *c != '1').collect();
    let known = |letter: usize| *letters.get(letter).unwrap_or(&'K') == 'K';
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

/// Every pattern, one with a pre-shared key at every place that patterns have, and some with several.
const PATTERNS: &str = "N K X NN NK NX XN XK XX KN KK KX IN IK IX NK1 NX1 X1N X1K XK1 X1K1 X1X XX1 X1X1 K1N K1K KK1 \
    K1K1 K1X KX1 K1X1 I1N I1K IK1 I1K1 I1X IX1 I1X1 Npsk0 Xpsk1 NKpsk0 IKpsk2 XXpsk3 XKpsk1 XXpsk0+psk2+psk3";

/// Every byte flipped, cut, or added to. In a message without a tag (before the first key) a change shows in the next
/// one, so there only lengths are checked here; `steps` checks that the exchange as a whole fails.
#[test]
fn a_changed_message_changes_nothing() {
    for pattern in PATTERNS.split_whitespace() {
        let name = &format!("Noise_{pattern}_25519_ChaChaPoly_SHA256");
        for &backend in Backend::ALL {
            let [mut a, mut b] = ends(name, backend);
            let (mut from, mut to) = (&mut a, &mut b);
            while !from.is_complete() {
                let message = from.write_message(b"payload", &mut OsRng).unwrap();
                let before = *to.handshake_hash();
                // Only the first message can be without a tag: its payload then travels as it is.
                let keys = message.len() - b"payload".len();
                let in_clear = message.ends_with(b"payload");
                for bad in tampered(&message).into_iter().filter(|bad| !in_clear || bad.len() < keys) {
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

/// The same for the hybrid forms, whose messages are long: flipped at every byte, cut at some. A first message without a
/// tag can only be too short here.
#[test]
fn a_changed_hybrid_message_changes_nothing() {
    let mut flipped = 0;
    for pattern in ["NN", "NK", "NX", "XN", "XK", "XX", "KN", "KK", "KX", "IN", "IK", "IX"] {
        let name = format!("Noise_{pattern}hfs_25519+MLKEM768_ChaChaPoly_SHA256");
        let [mut a, mut b] = ends(&name, Backend::best());
        let (mut from, mut to) = (&mut a, &mut b);
        while !from.is_complete() {
            let message = from.write_message(b"payload", &mut OsRng).unwrap();
            let before = *to.handshake_hash();
            let keys = message.len() - b"payload".len();
            let in_clear = message.ends_with(b"payload");
            for (n, bad) in tampered(&message).into_iter().enumerate() {
                let is_cut = bad.len() < message.len();
                if is_cut && n % 31 != 0 || in_clear && bad.len() >= keys {
                    continue;
                }
                assert_eq!(to.read_message(&bad), Err(NoiseError::Rejected), "{name}");
                assert_eq!(*to.handshake_hash(), before);
                flipped += usize::from(!is_cut);
            }
            assert_eq!(to.read_message(&message).unwrap(), b"payload");
            core::mem::swap(&mut from, &mut to);
        }
        assert_eq!(a.handshake_hash(), b.handshake_hash());
    }
    assert!(flipped > 14_000, "{flipped}");
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
