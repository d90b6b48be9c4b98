//! What the test modules share: vector files and generators that give known bytes.

use core::convert::Infallible;
use std::path::Path;

use rand_core::{TryCryptoRng, TryRng};
use serde_json::Value;

/// The cases of one file in `tests/vectors`.
pub(crate) fn vectors(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
    let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    json["vectors"].as_array().unwrap().clone()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).unwrap()
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// A generator for tests: given bytes first, then counting ones.
#[derive(Default)]
pub(crate) struct Counter {
    fixed: std::collections::VecDeque<u8>,
    next: u64,
}

impl Counter {
    pub(crate) fn fixed(bytes: Vec<u8>) -> Self {
        Self { fixed: bytes.into(), next: 0 }
    }
}

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            *byte = self.fixed.pop_front().unwrap_or_else(|| {
                self.next += 1;
                self.next.to_le_bytes()[0] ^ self.next.to_le_bytes()[1]
            });
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

/// Cases of a property test: 64, or what `PROPTEST_CASES` says.
pub(crate) fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(64, |cases| cases.parse().unwrap())
}
