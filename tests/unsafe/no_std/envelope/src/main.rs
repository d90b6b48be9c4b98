//! The core of `symbolon-envelope` without std: seal for a user, rewrap for a reader, open.
#![no_std]
#![no_main]

extern crate alloc;
extern crate no_std_rt;

use alloc::vec::Vec;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use symbolon_envelope::{Expect, Open, Seal, UserKey};
use symbolon_keys::{AgeSecretKey, Backend};

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    i32::from(run().is_none())
}

fn run() -> Option<()> {
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let alice = UserKey::generate(&mut rng);
    let reader = AgeSecretKey::generate(Backend::best(), &mut rng);
    let sealed = Seal::to(&[&alice.up(), reader.public_key()]).bytes_with(b"hello", &mut rng).ok()?;
    let all: Vec<_> = [
        Open::with(&[&alice.up()]).expect(Expect::absent()).bytes(&sealed).ok()?,
        Open::with(&[&reader]).expect(Expect::absent()).bytes(&sealed).ok()?,
    ]
    .into();
    all.iter().all(|opened| opened.plaintext() == b"hello").then_some(())
}
