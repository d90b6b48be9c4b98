use alloc::vec::Vec;
use core::fmt;

use symbolon_keys::wire::{Malformed, TooLong};
use symbolon_keys::{NoisePublicKey, Rejected};

use crate::noise::NoiseError;
use crate::suite::Suite;

/// Why a step of the agreement did not happen. The state is as it was, and the true message can still come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgreementError {
    /// The message is not authentic, or not for this handshake.
    Rejected,
    /// An authentic message does not follow the format: the other end is faulty, or newer.
    Malformed,
    /// The server holds another key than the pinned one.
    WrongServerKey {
        /// The one that it proved to hold.
        found: NoisePublicKey,
    },
    /// The responder takes none of the suites that this end allows.
    NoCommonSuite {
        /// What it takes, as far as this crate knows it. Nothing authenticates this.
        supported: Vec<Suite>,
    },
    /// Another step is to come now.
    OutOfTurn,
    /// The pattern needs a key that was not given, or takes none where one was given.
    Keys,
    /// What was to be sent is too long.
    TooLong,
}

impl fmt::Display for AgreementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected => Rejected.fmt(f),
            Self::Malformed => {
                f.write_str("an authentic message does not follow the format: is the other end newer?")
            }
            Self::WrongServerKey { found } => write!(
                f,
                "server key differs from the pinned one: found {found}; somebody is in between, or the server has \
                 a new key: ask its operator before you pin that"
            ),
            Self::NoCommonSuite { supported } => write!(
                f,
                "the server takes none of the allowed suites, only {supported:?}: allow one of them, if it is good \
                 enough, or ask for a newer server"
            ),
            Self::OutOfTurn => f.write_str("out of turn: another step of the agreement comes now"),
            Self::Keys => {
                f.write_str("the pattern needs a key that was not given, or takes none where one was given")
            }
            Self::TooLong => f.write_str("too long: application data beside an assignment has at most 4 KiB"),
        }
    }
}

impl core::error::Error for AgreementError {}

impl From<NoiseError> for AgreementError {
    fn from(error: NoiseError) -> Self {
        match error {
            NoiseError::OutOfTurn => Self::OutOfTurn,
            NoiseError::MissingKey | NoiseError::UnusedKey => Self::Keys,
            NoiseError::TooLong => Self::TooLong,
            NoiseError::Rejected | NoiseError::Exhausted => Self::Rejected,
        }
    }
}

impl From<Rejected> for AgreementError {
    fn from(_: Rejected) -> Self {
        Self::Rejected
    }
}

impl From<Malformed> for AgreementError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<TooLong> for AgreementError {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}
