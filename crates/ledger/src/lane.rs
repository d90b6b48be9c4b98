use crate::PadMode;

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

    /// The longest lane: a terabyte of pad, or as many keys as fit one.
    #[must_use]
    pub const fn max_lane(self) -> u64 {
        match self {
            Self::PadOverAead | Self::PadOnly => 1 << 40,
            Self::KeySequence => 1 << 35,
        }
    }
}
