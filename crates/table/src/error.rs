use core::fmt;

use symbolon_keys::wire::{Malformed, TooLong};
use symbolon_keys::{Epoch, Id, Rejected};

use crate::record::{InvalidRecord, RecordHash};
use crate::store::StoreError;

/// Why a table did not seal or open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// The message is not authentic: forged, altered, or sealed under another secret. Drop it.
    Rejected,
    /// The bytes are not a message. Drop them.
    Malformed,
    /// The plaintext does not fit into one message. Send it in parts, or as an envelope.
    TooLong,
    /// The message is for somebody else. Its reader is named in it.
    Misaddressed(Id),
    /// A table shares no secret with its own id.
    OwnId,
    /// The directory does not know the id, as of some minutes ago at most.
    UnknownPeer(Id),
    /// The message names a key of the sender that the directory does not have, or one of ours that the table was not
    /// given yet. It may open later.
    UnknownEpoch,
    /// The message was sealed under a key that was replaced too long ago. Ask the sender to send it again.
    Retired,
    /// The peer's key changed, and the policy asks for approval first. Compare `head` with the peer out of band, then
    /// approve it.
    KeyChanged {
        /// Whose key.
        peer: Id,
        /// The epoch of the key that the table holds.
        known: Epoch,
        /// The epoch that the directory offers.
        offered: Epoch,
        /// The hash of the offered record: what approval names.
        head: RecordHash,
    },
    /// The peer's newest record is past its validity. The peer has to register anew.
    Expired(Id),
    /// The directory answered with what cannot be: it is broken or it lies. The table went on with what it held.
    Directory(InvalidRecord),
    /// The directory could not be reached. Messages to and from peers in the table still work.
    Unavailable(StoreError),
    /// Too many strangers at once. Leave the message in the mailbox and open it later.
    Busy,
}

impl From<Rejected> for TableError {
    fn from(_: Rejected) -> Self {
        Self::Rejected
    }
}

impl From<Malformed> for TableError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<TooLong> for TableError {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

impl From<InvalidRecord> for TableError {
    fn from(error: InvalidRecord) -> Self {
        Self::Directory(error)
    }
}

impl From<StoreError> for TableError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

impl TableError {
    /// Whether the same call may succeed later, so that a message should stay in its mailbox: it does not say that the
    /// message is bad.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        use TableError::{Malformed, Misaddressed, OwnId, Rejected, Retired, TooLong};
        !matches!(self, Rejected | Malformed | TooLong | Misaddressed(_) | OwnId | Retired)
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected => {
                f.write_str("message rejected: not authentic, or made for another key; drop it")
            }
            Self::Malformed => f.write_str("not a sealed message; drop it"),
            Self::TooLong => f.write_str("too long for one message; send it in parts or as an envelope"),
            Self::Misaddressed(id) => write!(f, "message is for {id}; this table belongs to somebody else"),
            Self::OwnId => f.write_str("a table shares no secret with its own id"),
            Self::UnknownPeer(id) => {
                write!(f, "the directory does not know {id}; check the id, or try again later")
            }
            Self::UnknownEpoch => f.write_str("message names a key that is not known yet; open it later"),
            Self::Retired => {
                f.write_str("message was sealed under a key replaced too long ago; ask for it again")
            }
            Self::KeyChanged { peer, known, offered, head } => write!(
                f,
                "the key of {peer} changed from epoch {known} to {offered}; compare head {head} with them, \
                 then approve it"
            ),
            Self::Expired(id) => {
                write!(f, "the keys of {id} are past their validity; they must register anew")
            }
            Self::Directory(error) => {
                write!(f, "the directory's answer does not hold: {error}; nothing was changed")
            }
            Self::Unavailable(error) => {
                write!(f, "the directory cannot be reached: {error}; known peers still work")
            }
            Self::Busy => {
                f.write_str("too many unknown senders at once; leave the message and open it later")
            }
        }
    }
}

impl core::error::Error for TableError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Directory(error) => Some(error),
            Self::Unavailable(error) => Some(error),
            _ => None,
        }
    }
}
