use alloc::vec::Vec;
use core::fmt;

use crate::material::MaterialError;
use crate::{CommitError, Instance, PadId, PadStatus, Refusal, Refused, RequestId, StorageError};

/// Why a pad did not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum PadError {
    /// The bytes are no frame, or not of this version.
    Malformed,
    /// The frame belongs to another pad, lane or mode.
    OtherLane,
    /// The frame is not authentic. Nothing was burnt or changed.
    Rejected,
    /// The frame cannot be received now: it is a replay, lies too far ahead, or has another generation.
    Refused(Refusal),
    /// The request was received and answered before: this is its answer, to be sent again as it is.
    Answered(Vec<u8>),
    /// The request was received before and not answered; its message is gone. Nothing was charged for it.
    Unanswered(RequestId),
    /// The message is longer than a frame can carry.
    TooLong,
    /// More is to be reserved at once than a crash may waste.
    TooMuch {
        /// The most, in bytes or keys.
        most: u64,
    },
    /// The lane has no room for the message.
    Exhausted {
        /// What is left, in bytes or keys.
        left: u64,
        /// What the message takes.
        needed: u64,
    },
    /// The pad is closed or halted.
    NotOpen(PadStatus),
    /// The half was never provisioned.
    NotProvisioned(PadId),
    /// The half was provisioned before.
    AlreadyProvisioned(PadId),
    /// The half is there, and its ledger is not.
    LedgerMissing(PadId),
    /// The half belongs to another ledger, or one of the two was recovered without the other.
    OtherInstance {
        /// What the half says.
        half: Instance,
        /// What the ledger says.
        ledger: Instance,
    },
    /// The ledger and the half do not describe the same pad.
    Mismatch(&'static str),
    /// The ledger knows less than the half: it is an old copy.
    LedgerBehind {
        /// Up to where the half was given away.
        floor: u64,
        /// Up to where the ledger says it was.
        reserved: u64,
    },
    /// The peer has not acknowledged the reservation yet: run a witness session first.
    Unwitnessed,
    /// The handle was carried into another process by a fork: that process must attach the pad itself.
    Forked,
    /// The handle cannot know any more what is durable, or another process has taken the pad: attach it again.
    Dead,
    /// A fee was named, but no account to pay it to, or the pad holds no value.
    NoAccount,
    /// The witness cannot be reached.
    Link(std::io::Error),
    /// The half failed.
    Material(MaterialError),
    /// The ledger refused, or may or may not have stored it.
    Commit(CommitError),
    /// The ledger cannot be read.
    Storage(StorageError),
}

impl fmt::Display for PadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the bytes are no frame of a pad"),
            Self::OtherLane => f.write_str("the frame belongs to another pad, lane or mode"),
            Self::Rejected => f.write_str("the frame is not authentic; nothing was burnt"),
            Self::Refused(why) => write!(f, "the frame cannot be received: {why}"),
            Self::Answered(_) => f.write_str("the request was answered before: send the same answer again"),
            Self::Unanswered(id) => {
                write!(f, "request {id} was received before and never answered: send a new one")
            }
            Self::TooLong => write!(f, "a message has at most {} bytes", crate::frame::MAX_MESSAGE),
            Self::TooMuch { most } => write!(f, "at most {most} can be reserved at once: ask for less"),
            Self::Exhausted { left, needed } => {
                write!(
                    f,
                    "the pad is exhausted: the message takes {needed}, and {left} is left; a new pad is needed"
                )
            }
            Self::NotOpen(status) => write!(f, "the pad is {status}"),
            Self::NotProvisioned(pad) => write!(f, "pad {pad} is new: provision it first"),
            Self::AlreadyProvisioned(pad) => write!(f, "pad {pad} was provisioned before: attach it"),
            Self::LedgerMissing(pad) => write!(
                f,
                "the ledger does not know pad {pad}, which is in use: find its ledger; never start it anew"
            ),
            Self::OtherInstance { half, ledger } => write!(
                f,
                "the half belongs to instance {half}, the ledger to {ledger}: one of them is an old copy, or another's"
            ),
            Self::Mismatch(what) => write!(f, "the ledger and the half do not agree on {what}"),
            Self::LedgerBehind { floor, reserved } => write!(
                f,
                "the ledger is an old copy: it says {reserved}, but the half was given away up to {floor}"
            ),
            Self::Unwitnessed => {
                f.write_str("the peer has not acknowledged this part of the pad yet: witness first")
            }
            Self::Forked => f.write_str("this process was forked from the owner of the pad: attach it here"),
            Self::Dead => f.write_str("this handle is dead: attach the pad again"),
            Self::NoAccount => f.write_str("there is no account to charge, or to pay to"),
            Self::Link(error) => write!(f, "the witness of the pad cannot be reached: {error}"),
            Self::Material(error) => error.fmt(f),
            Self::Commit(error) => error.fmt(f),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(why) => Some(why),
            Self::Link(error) => Some(error),
            Self::Material(error) => Some(error),
            Self::Commit(error) => Some(error),
            Self::Storage(error) => Some(error),
            _ => None,
        }
    }
}

impl From<MaterialError> for PadError {
    fn from(error: MaterialError) -> Self {
        Self::Material(error)
    }
}

impl From<CommitError> for PadError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(Refused { why: Refusal::NotOpen(status), .. }) => Self::NotOpen(status),
            CommitError::Refused(Refused { why: Refusal::Fenced { .. }, .. }) => Self::Dead,
            other => Self::Commit(other),
        }
    }
}

impl From<StorageError> for PadError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
