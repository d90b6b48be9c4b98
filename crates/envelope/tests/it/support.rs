//! What the tests share.

use rand_core::{CryptoRng, SeedableRng};
use symbolon_envelope::{Context, RecordId};
use symbolon_keys::{Id, Secret};

/// A generator that gives the same bytes in every run.
pub fn rng(seed: u64) -> impl CryptoRng {
    rand_chacha::ChaCha20Rng::seed_from_u64(seed)
}

pub fn id(name: &str) -> Id {
    name.parse().unwrap()
}

pub fn record(n: u8) -> RecordId {
    RecordId::from([n; 16])
}

pub fn context(n: u8) -> Context {
    Context::new(id("example"), record(n), id("alice")).at(1)
}

pub fn secret(text: &str) -> Secret<32> {
    Secret::from(<[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap())
}

/// So many bytes, not all alike.
pub fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// Says that something is not tested.
pub fn skipped(what: &str) {
    eprintln!("SKIPPED: {what}");
}

/// Says that something is not tested as it is missing here, and fails if `variable` demands it.
pub fn missing(what: &str, variable: &str) {
    skipped(&format!("{what} is not to be had"));
    assert!(std::env::var_os(variable).is_none(), "{variable} is set");
}
