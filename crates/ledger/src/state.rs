#![expect(clippy::exhaustive_structs, reason = "a store builds rows from its columns")]

use alloc::vec::Vec;
use core::fmt;

use symbolon_keys::UnixTime;

use crate::{AccountId, BatchId, Generation, Instance, OutboxId, OwnerId, PadId, RequestId};

/// How the bytes of a pad are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PadMode {
    /// An AEAD under the pad: should a pad byte ever be used twice, the AEAD still holds (C3, mode 1).
    #[default]
    PadOverAead,
    /// The pad alone: information-theoretic if, and only if, the pad is (C3, mode 2).
    PadOnly,
    /// Session keys in order instead of a pad (C3k, mode 3).
    KeySequence,
}

impl PadMode {
    /// As on the wire and as stored.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::PadOverAead => 1,
            Self::PadOnly => 2,
            Self::KeySequence => 3,
        }
    }

    /// From its code; none for any other number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::PadOverAead),
            2 => Some(Self::PadOnly),
            3 => Some(Self::KeySequence),
            _ => None,
        }
    }
}

/// Whether a pad can be used, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PadStatus {
    /// It can be used.
    Open,
    /// A lane has no room for another message; what was left of the value went to the refund account.
    PadSpent,
    /// The value is spent; what was left of the pad is burnt.
    ValueSpent,
    /// Its owner closed it.
    Closed,
    /// The peer knows of reservations that this ledger does not: it is an old copy. Only a recovery goes on.
    RollbackSuspected,
    /// The peer has forgotten reservations that it acknowledged. Only a recovery goes on.
    WitnessRolledBack,
}

impl PadStatus {
    /// As stored and hashed.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::PadSpent => 2,
            Self::ValueSpent => 3,
            Self::Closed => 4,
            Self::RollbackSuspected => 5,
            Self::WitnessRolledBack => 6,
        }
    }

    /// From its code; none for any other number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Open),
            2 => Some(Self::PadSpent),
            3 => Some(Self::ValueSpent),
            4 => Some(Self::Closed),
            5 => Some(Self::RollbackSuspected),
            6 => Some(Self::WitnessRolledBack),
            _ => None,
        }
    }

    /// Whether it was closed for good.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::PadSpent | Self::ValueSpent | Self::Closed)
    }
}

impl fmt::Display for PadStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::PadSpent => "closed: the pad is spent",
            Self::ValueSpent => "closed: the value is spent",
            Self::Closed => "closed by its owner",
            Self::RollbackSuspected => "halted: the ledger is older than what the peer has seen",
            Self::WitnessRolledBack => "halted: the peer has forgotten what it acknowledged",
        })
    }
}

/// A pad as a store keeps it. It holds no secret: the bytes and keys of a pad are its material's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PadRow {
    /// Its name.
    pub id: PadId,
    /// Binds the row to one half of the pad, and that half to this row.
    pub instance: Instance,
    /// How its bytes are used.
    pub mode: PadMode,
    /// Whether the peer witnesses reservations (C3w). Both ends agree on it when the pad is issued.
    pub witnessed: bool,
    /// The account that holds its value, if it has one.
    pub account: Option<AccountId>,
    /// Where value goes that is left when the pad ends.
    pub refund: Option<AccountId>,
    /// Whether it can be used.
    pub status: PadStatus,
    /// Which process owns it.
    pub lease: Lease,
    /// The lane that we send on.
    pub send: SendRow,
    /// The lane that the peer sends on.
    pub receive: ReceiveRow,
}

/// Who owns a pad. Every commit names the epoch; those of an earlier owner are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Counts up with every attachment.
    pub epoch: u64,
    /// The process that attached it last, until it detaches.
    pub owner: Option<OwnerId>,
    /// Until then no other process may take it over without being told to.
    pub until: UnixTime,
}

/// The lane that we send on. Offsets count bytes of the lane; of a key sequence, keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendRow {
    /// Its number, 0 or 1.
    pub lane: u8,
    /// Its life.
    pub generation: Generation,
    /// How long it is.
    pub len: u64,
    /// Where the last reservation began.
    pub from: u64,
    /// Where it ended: everything below counts as used.
    pub reserved: u64,
    /// Its name; zero before the first.
    pub batch: BatchId,
}

/// The lane that the peer sends on. Offsets count bytes of the lane; of a key sequence, keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveRow {
    /// Its number, 0 or 1.
    pub lane: u8,
    /// Its life, pinned.
    pub generation: Generation,
    /// How long it is.
    pub len: u64,
    /// Everything below was received, or skipped.
    pub position: u64,
    /// Of a key sequence: the next sequence number under the key at `position`.
    pub seq: u32,
    /// Where the last acknowledged reservation of the peer began.
    pub ceiling_from: u64,
    /// Where it ended: a frame beyond is refused.
    pub ceiling: u64,
    /// Its name; zero before the first.
    pub batch: BatchId,
}

impl ReceiveRow {
    /// Everything below was received, or skipped; of a key sequence, the key in use as well.
    #[must_use]
    pub const fn end(&self) -> u64 {
        if self.seq > 0 { self.position.saturating_add(1) } else { self.position }
    }
}

/// A request that was received, and the answer it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// The pad it came under.
    pub pad: PadId,
    /// The hash of its frame.
    pub id: RequestId,
    /// Where its frame ended in the lane.
    pub end: u64,
    /// The frame that answers it. A repeated request gets these bytes, never a second encryption.
    pub reply: Option<Vec<u8>>,
}

/// Something to be done elsewhere because a batch was committed: at least once, by whoever empties the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Made by the client; what receives it deduplicates by it.
    pub id: OutboxId,
    /// What is to be done, in the application's own format; at most [`OutboxEntry::MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
}

impl OutboxEntry {
    /// The longest payload: one message of a session (1 MiB).
    pub const MAX_PAYLOAD: usize = 1 << 20;
}
