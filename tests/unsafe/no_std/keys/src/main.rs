//! `symbolon-keys` without std: an identity, its text, its keys, a signature, a sealed message, an encapsulation.
#![no_std]
#![no_main]

extern crate alloc;
extern crate no_std_rt;

use alloc::string::ToString;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use symbolon_keys::hazmat::{KemSecretKey, encapsulate};
use symbolon_keys::{Backend, Id, Identity, Label, OneTimeKey, PublicIdentity};

const TEST: Label = Label::new("example.org/no-std/v1");

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    i32::from(run().is_none())
}

fn run() -> Option<()> {
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let backend = Backend::best();
    let (alice, bob) = (Identity::generate(backend, &mut rng), Identity::generate(backend, &mut rng));
    let known: PublicIdentity = alice.public().to_string().parse().ok()?;
    let again: Identity = alice.to_secret_text().parse().ok()?;
    (known == *again.public()).then_some(())?;

    let signature = alice.signing_key().sign(TEST, &[b"hello"]).ok()?;
    known.verifying_key().verify(TEST, &[b"hello"], &signature).ok()?;

    let id: Id = "alice".parse().ok()?;
    let shared = bob.table_key().diffie_hellman(known.table_key()).ok()?;
    let key = shared.extract(TEST).derive(TEST, &[id.as_bytes()]).ok()?;
    let mut message = *b"hello";
    let tag = OneTimeKey::new(backend, &key).seal_in_place(b"", &mut message).ok()?;
    OneTimeKey::new(backend, &key).open_in_place(b"", &mut message, &tag).ok()?;
    (&message == b"hello").then_some(())?;

    let kem = KemSecretKey::generate(backend, &mut rng);
    let (ciphertext, sent) = encapsulate(backend, &kem.public_key().ok()?, &mut rng).ok()?;
    (kem.decapsulate(&ciphertext).ok()?.raw().expose() == sent.raw().expose()).then_some(())
}
