use symbolon_keys::{Epoch, Id};

use super::CustodianError;
use crate::records::RecordId;

/// One step of the engine, as an audit log keeps it: who, what, which version. Never contents, never keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what they are called")]
pub enum Event {
    /// A user's key was put into the database.
    Enrolled { user: Id, epoch: Epoch },
    /// A user's key was replaced by that of another passphrase.
    KeyChanged { user: Id, epoch: Epoch },
    /// A user's key was disabled.
    Disabled { user: Id },
    /// A user's key was enabled again.
    Enabled { user: Id },
    /// A user's key was destroyed.
    Erased { user: Id },
    /// An envelope was verified to its end and stored.
    Received { record: RecordId, owner: Id, sequence: u64, len: u64 },
    /// A record was re-wrapped for somebody.
    Delivered { record: RecordId, to: Id, sequence: u64 },
    /// The plaintext of a record was processed.
    Processed { record: RecordId, by: Id, to: Id },
    /// A record was sealed anew under another file key.
    Reencrypted { record: RecordId, sequence: u64 },
    /// A record was granted.
    Granted { record: RecordId, owner: Id, user: Id },
    /// A grant was taken back.
    Revoked { record: RecordId, owner: Id, user: Id },
    /// A record was deleted.
    Deleted { record: RecordId, owner: Id },
    /// A record's header was moved to another version of the server key.
    Rewrapped { record: RecordId, from: u32, to: u32 },
    /// A step was refused.
    Refused { record: Option<RecordId>, user: Id, reason: Refusal },
}

/// Why a step was refused, as far as an audit log needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The user is unknown or disabled.
    User,
    /// There is no such record for the user.
    Record,
    /// Something does not open: altered, cut short, rolled back, or under another key.
    Forged,
    /// Somebody else was faster.
    Conflict,
    /// The store or the server failed.
    Failure,
}

impl CustodianError {
    pub(crate) const fn to_refusal(&self) -> Refusal {
        match self {
            Self::UnknownUser | Self::AlreadyEnrolled | Self::Disabled => Refusal::User,
            Self::NoSuchRecord => Refusal::Record,
            Self::Open(_) => Refusal::Forged,
            Self::Conflict(_) | Self::Outdated | Self::Gone => Refusal::Conflict,
            Self::Store(_) | Self::TooLarge | Self::Seal(_) | Self::Ring(_) => Refusal::Failure,
        }
    }
}
