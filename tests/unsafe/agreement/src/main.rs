//! A whole agreement under valgrind, with the static key and the ephemeral key of one end marked as uninitialised
//! memory: whatever branches on one of them, on a key derived from them, or reads memory at a place that depends on
//! one, is an error that memcheck counts.
//!
//! Decisions that are public are allowed, one branch each: a shared secret is zero or not, a tag is right or not, and
//! what the other end's static key is (canonical, of low order, the pinned one).

use core::hint::black_box;
use core::time::Duration;

use memcheck::{errors, make_public, make_secret, require_valgrind};
use symbolon_agreement::hazmat::FixedRng;
use symbolon_agreement::{Arrival, Initiator, Opened, ProfileVerifier, Responder, Suite, Terms};
use symbolon_agreement::{MemoryProfiles, Opener, Sealer};
use symbolon_keys::{Backend, Id, NoiseSecretKey, OsRng, RootKey, Secret, UnixTime};

const NOW: UnixTime = UnixTime::from_secs(1000);

fn secret_bytes<const N: usize>(byte: u8) -> [u8; N] {
    let bytes = black_box([byte; N]);
    make_secret(&bytes);
    bytes
}

/// What goes over the wire, or comes out for everybody to see.
fn public<T>(value: T) -> T {
    make_public(&value);
    value
}

fn public_bytes(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.to_vec();
    make_public(&bytes[..]);
    bytes
}

/// Runs a step; whether it had so many errors at most.
fn step<T>(name: &str, backend: Backend, allowed: u64, good: &mut bool, f: impl FnOnce() -> T) -> T {
    let before = errors();
    let value = f();
    let errors = errors() - before;
    println!("{name} {backend}: {errors} errors, {allowed} allowed");
    *good &= errors <= allowed;
    value
}

fn main() {
    require_valgrind();
    let mut good = true;
    for &backend in Backend::ALL {
        agree(backend, &mut good);
    }
    profile(&mut good);
    // A control: a branch on a secret is seen.
    let before = errors();
    if black_box(secret_bytes::<1>(1))[0] == black_box(1) {
        black_box(());
    }
    good &= errors() > before;
    std::process::exit(i32::from(!good));
}

fn agree(backend: Backend, good: &mut bool) {
    let responder =
        Responder::new(NoiseSecretKey::generate(backend, &mut OsRng)).suites(&[Suite::XX]).backend(backend);
    let server = *responder.public_key();

    let (mut i, first) = step("first message", backend, 0, good, || {
        let key = std::sync::Arc::new(NoiseSecretKey::from_secret(backend, Secret::from(secret_bytes(7))));
        let mut rng = FixedRng::new(secret_bytes::<32>(9));
        let i = Initiator::xx(key).expect(server).classical().backend(backend).start(&mut rng).unwrap();
        let first = public_bytes(i.body());
        (i, first)
    });
    let received = responder.receive(&first, None).unwrap();
    let (m2, mut ticket) = received.answer(Terms::new().port(7), NOW, &mut OsRng).unwrap();
    // Two shared secrets, two tags; then the server's key and the assignment, which are public by now but came out
    // under a secret key: one is compared with the modulus, five points and the pinned key, the other is parsed.
    let verified = step("second message", backend, 24, good, || i.receive(&m2).unwrap());
    // One shared secret.
    let (mut claim, body) = step("claim", backend, 1, good, || {
        let (claim, _) = verified.claim().unwrap();
        let body = public_bytes(claim.body());
        (claim, body)
    });
    let challenged = ticket.claim(&body, Arrival::Port(7), NOW, &mut OsRng).unwrap();
    let (proof, mine) = step("path proof", backend, 1, good, || {
        let (proof, mine) = claim.answer(&challenged.message).unwrap();
        (public(proof), mine)
    });
    let theirs = ticket.prove(challenged.path, &proof, NOW).unwrap();

    let (mut sealer, mut opener, _) = mine.into_session(NOW);
    let (mut their_sealer, mut their_opener, _) = theirs.into_session(NOW);
    let record = step("seal", backend, 0, good, || seal(&mut sealer, &secret_bytes::<300>(3)));
    open(&mut their_opener, &mut public_bytes(&record)[3..]);
    let mut record = seal(&mut their_sealer, b"message");
    // One tag, and the kind of the record.
    step("open", backend, 4, good, || open(&mut opener, &mut record[3..]));
}

fn seal(sealer: &mut Sealer, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal(message, NOW, &mut out).unwrap();
    out
}

fn open(opener: &mut Opener, record: &mut [u8]) {
    assert!(matches!(opener.open(record).unwrap(), Opened::Last(_)));
}

/// The comparison of profiles: one decision, however much of a profile is right.
fn profile(good: &mut bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let id: Id = "alice".parse().unwrap();
    let profiles = ProfileVerifier::new(RootKey::from(Secret::from([1; 32])), MemoryProfiles::default())
        .limit(1000, Duration::from_secs(1));
    runtime.block_on(profiles.enroll(&id, &[5; 100])).unwrap();
    for (name, byte) in [("right profile", 5), ("wrong profile", 6)] {
        step(name, Backend::Portable, 1, good, || {
            let presented = secret_bytes::<100>(byte);
            let _ = runtime.block_on(profiles.verify(&id, &presented, NOW));
        });
    }
}
