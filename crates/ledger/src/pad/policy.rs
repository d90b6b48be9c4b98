use core::time::Duration;

use symbolon_keys::Backend;

use crate::{AccountId, Amount, PadMode};

/// How a pad is used by this process.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Policy {
    reserve: Option<u64>,
    pub(super) destroy: u64,
    pub(super) low: Option<u64>,
    pub(super) lease: Duration,
    pub(super) takeover: bool,
    pub(super) income: Option<AccountId>,
    pub(super) key_fee: Option<Amount>,
    pub(super) backend: Backend,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            reserve: None,
            destroy: 64 << 10,
            low: None,
            lease: Duration::ZERO,
            takeover: true,
            income: None,
            key_fee: None,
            backend: Backend::best(),
        }
    }
}

impl Policy {
    /// Reserves so many bytes (or keys) at a time: one durable write for all of them, and a crash burns what is left.
    /// At most [`PadMode::max_batch`]. Without this, 64 KiB (or 16 keys), and at most a 64th of the lane.
    pub const fn reserve(mut self, bytes: u64) -> Self {
        self.reserve = Some(bytes);
        self
    }

    pub(super) fn batch(&self, mode: PadMode, lane_len: u64) -> u64 {
        let usual = if mode == PadMode::KeySequence { 16 } else { 64 << 10 };
        self.reserve.unwrap_or_else(|| usual.min(lane_len / 64)).min(mode.max_batch())
    }

    /// Destroys what is used whenever it has become so many bytes.
    pub const fn destroy_every(mut self, bytes: u64) -> Self {
        self.destroy = bytes;
        self
    }

    /// Calls the pad [low](super::Pad::is_low) when a lane has less left than so many bytes (or keys). Without this, less than a
    /// 16th of the lane. Nothing else depends on it.
    pub const fn low_water(mut self, left: u64) -> Self {
        self.low = Some(left);
        self
    }

    /// Leaves other processes alone while their lease lasts, and asks the same of them for `duration` after each
    /// reservation. Without this, whoever holds the half takes the pad: right where the half's lock works.
    pub const fn lease(mut self, duration: Duration) -> Self {
        self.lease = duration;
        self.takeover = false;
        self
    }

    /// The account that [`Seal::charge`](super::Seal::charge) pays to.
    pub const fn income(mut self, account: AccountId) -> Self {
        self.income = Some(account);
        self
    }

    /// The value of a key sequence goes down by this with every session key that either end begins (L5).
    pub const fn key_fee(mut self, fee: Amount) -> Self {
        self.key_fee = Some(fee);
        self
    }

    /// Lets the inner AEAD run on `backend`.
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }
}
