//! The lane that one end sends on (`docs/pad-frame.md`): the layer below [`Pad`](crate::Pad), for other drivers.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use zeroize::Zeroizing;

use crate::PadMode;
use crate::frame::{Chunk, widen};

impl PadMode {
    /// The most that is reserved at once, in bytes of the lane (or keys): enough for a maximal frame, and no more than
    /// a crash may waste.
    #[must_use]
    pub const fn max_batch(self) -> u64 {
        match self {
            Self::PadOverAead | Self::PadOnly => 4 << 20,
            Self::KeySequence => 256,
        }
    }

    /// How far ahead of what was received before a frame may begin, without a witness: four maximal batches (C3).
    #[must_use]
    pub const fn max_gap(self) -> u64 {
        self.max_batch().saturating_mul(4)
    }

    /// How far below what was received since a request is remembered: repeated from there it gets its stored answer, as a
    /// peer can be that far ahead of what reached us (C3).
    #[must_use]
    pub const fn max_repeat(self) -> u64 {
        self.max_gap()
    }

    /// How many bytes of a lane its offsets count at a time: one, or a key.
    #[must_use]
    pub const fn unit(self) -> u64 {
        match self {
            Self::PadOverAead | Self::PadOnly => 1,
            Self::KeySequence => crate::sequence::KEY_LEN,
        }
    }

    /// The longest lane: a terabyte of pad, or as many keys as fit one.
    #[must_use]
    pub const fn max_lane(self) -> u64 {
        match self {
            Self::PadOverAead | Self::PadOnly => 1 << 40,
            Self::KeySequence => 1 << 35,
        }
    }
}

/// The lane that we send on, in bytes: what of it is reserved, and what of that is used.
///
/// Its steps are in this order, and no other way leads to a byte: [`reservation`](Self::reservation) says what must be
/// made durable; [`granted`](Self::granted) takes the bytes in exchange for the reservation; [`take`](Self::take) gives
/// each of them away once.
pub struct SendLane {
    len: u64,
    /// Everything below is used, or belongs to nobody any more.
    reserved: u64,
    /// The bytes before `reserved` that are not used yet, at the end of `window`.
    window: Zeroizing<Vec<u8>>,
    used: usize,
}

/// A range that must be durably reserved before it is read.
#[must_use = "nothing can be sent before it is durable"]
#[derive(Debug, PartialEq, Eq)]
pub struct Reservation(Range<u64>);

impl Reservation {
    /// What is to be reserved.
    #[must_use]
    pub const fn range(&self) -> &Range<u64> {
        &self.0
    }
}

/// The lane has less left than a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two facts, and nothing else to say")]
pub struct Short {
    /// What is left of the lane.
    pub left: u64,
    /// What the message takes.
    pub needed: u64,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left, needed } = self;
        write!(f, "the message takes {needed}, and {left} is left of the lane")
    }
}

impl core::error::Error for Short {}

impl SendLane {
    /// A lane of which everything below `reserved` counts as used.
    #[must_use]
    pub fn new(len: u64, reserved: u64) -> Self {
        Self { len, reserved, window: Zeroizing::new(Vec::new()), used: 0 }
    }

    /// The first byte that was not given away.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.reserved.saturating_sub(widen(self.ready()))
    }

    /// What is left of the lane.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.len.saturating_sub(self.cursor())
    }

    fn ready(&self) -> usize {
        self.window.len().saturating_sub(self.used)
    }

    /// What must be reserved before `needed` bytes can be taken: nothing, or the next `batch` bytes, or more.
    ///
    /// # Errors
    /// [`Short`] if the lane ends before.
    pub fn reservation(&self, needed: u64, batch: u64) -> Result<Option<Reservation>, Short> {
        let left = self.left();
        if needed > left {
            return Err(Short { left, needed });
        }
        let missing = needed.saturating_sub(widen(self.ready()));
        if missing == 0 {
            return Ok(None);
        }
        let end = self.reserved.saturating_add(missing.max(batch)).min(self.len);
        Ok(Some(Reservation(self.reserved..end)))
    }

    /// Takes a reservation that is durable, and reads its bytes with `read`.
    ///
    /// # Errors
    /// Those of `read`; what was reserved is burnt then.
    ///
    /// # Security
    /// The reservation must be durable: a crash from here on must find everything below its end as used.
    pub fn granted<E>(
        &mut self,
        reservation: Reservation,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Reservation(range) = reservation;
        let new = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or_default();
        let mut window = Zeroizing::new(Vec::with_capacity(self.ready().saturating_add(new)));
        window.extend_from_slice(self.window.get(self.used..).unwrap_or_default());
        let old = window.len();
        window.resize(old.saturating_add(new), 0);
        if let Err(error) = read(window.get_mut(old..).unwrap_or_default()) {
            // What cannot be read is burnt: it is reserved, and nobody will ask for it again.
            self.burn_to(range.end);
            return Err(error);
        }
        self.window = window;
        self.used = 0;
        self.reserved = range.end;
        Ok(())
    }

    /// Gives up everything below `reserved`.
    pub fn burn_to(&mut self, reserved: u64) {
        self.window = Zeroizing::new(Vec::new());
        self.used = 0;
        self.reserved = reserved.max(self.reserved);
    }

    /// The next `n` bytes, once.
    pub fn take(&mut self, n: u64) -> Option<Chunk<'_>> {
        let offset = self.cursor();
        let end = self.used.checked_add(usize::try_from(n).ok()?)?;
        let bytes = self.window.get_mut(self.used..end)?;
        self.used = end;
        Some(Chunk::new(offset, bytes))
    }
}

impl fmt::Debug for SendLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { len, reserved, window: _, used: _ } = self;
        write!(f, "SendLane({} used, {reserved} reserved, of {len})", self.cursor())
    }
}
