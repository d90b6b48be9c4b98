//! The core of `symbolon-table` without std: two parties agree on a root, one seals, the other opens.
#![no_std]
#![no_main]

extern crate no_std_rt;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use symbolon_keys::{Backend, Epoch, TableSecretKey};
use symbolon_table::{Header, PairRoot, Party, open, seal};

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    i32::from(run().is_none())
}

fn run() -> Option<()> {
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let backend = Backend::best();
    let mut key = || TableSecretKey::generate(backend, &mut rng);
    let (alices, bobs) = (key(), key());
    let party = |id: &str, key: &TableSecretKey| {
        Some(Party { id: id.parse().ok()?, epoch: Epoch::FIRST, key: *key.public_key() })
    };
    let (alice, bob) = (party("alice", &alices)?, party("bob", &bobs)?);
    let header = Header::fresh((alice.id, alice.epoch), (bob.id, bob.epoch), &mut rng);
    let sealed = seal(&PairRoot::agree(&alices, &alice, &bob).ok()?, &header, backend, b"hello").ok()?;
    let opened = open(&PairRoot::agree(&bobs, &bob, &alice).ok()?, backend, &sealed);
    opened.is_ok().then_some(())
}
