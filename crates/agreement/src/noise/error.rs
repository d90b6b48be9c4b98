use core::fmt;

use symbolon_keys::Rejected;

/// Why a step of a handshake or transport did not happen. The state is as it was before the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoiseError {
    /// The message is not authentic, not for this handshake, or not a message at all.
    Rejected,
    /// The other side is to send now, or the handshake is at another stage.
    OutOfTurn,
    /// The pattern needs a static key, or a pre-shared key, that was not given.
    MissingKey,
    /// A key was given that the pattern does not use.
    UnusedKey,
    /// The message would exceed 65,535 bytes.
    TooLong,
    /// The nonces of this key are spent: rekeying does not bring them back, make a new session.
    Exhausted,
}

impl fmt::Display for NoiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected => Rejected.fmt(f),
            Self::OutOfTurn => f.write_str("out of turn: the pattern says that another step comes now"),
            Self::MissingKey => f.write_str("the pattern needs a key that was not given"),
            Self::UnusedKey => f.write_str("a key was given that the pattern does not use"),
            Self::TooLong => f.write_str("a Noise message has at most 65,535 bytes: send less at a time"),
            Self::Exhausted => f.write_str("the nonces of this key are spent: make a new session"),
        }
    }
}

impl core::error::Error for NoiseError {}

impl From<Rejected> for NoiseError {
    fn from(_: Rejected) -> Self {
        Self::Rejected
    }
}
