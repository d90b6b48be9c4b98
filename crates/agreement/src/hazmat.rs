//! Fixed randomness, for test vectors.

use alloc::collections::VecDeque;
use core::convert::Infallible;

use rand_core::utils::next_word_via_fill;
use rand_core::{TryCryptoRng, TryRng};

/// A generator that gives out bytes laid down beforehand, then zeros.
///
/// # Security
/// For vectors only. A handshake with fixed ephemeral keys protects nothing: whoever knows the bytes knows the keys.
/// (The aws-lc backend draws ML-KEM keys from its own generator, whatever is given here.)
#[derive(Clone, Debug, Default)]
pub struct FixedRng(VecDeque<u8>);

impl FixedRng {
    /// Gives out `bytes`, in this order.
    #[must_use]
    pub fn new(bytes: impl IntoIterator<Item = u8>) -> Self {
        Self(bytes.into_iter().collect())
    }
}

impl TryRng for FixedRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill_with(|| self.0.pop_front().unwrap_or_default());
        Ok(())
    }
}

impl TryCryptoRng for FixedRng {}
