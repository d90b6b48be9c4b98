use alloc::boxed::Box;
use alloc::vec::Vec;

use symbolon_keys::UnixTime;

use crate::{
    AccountId, BatchId, Generation, Instance, OutboxEntry, OutboxId, OwnerId, PadId, PadRow, PadStatus,
    RequestId, Side, Transfer,
};

/// Steps that become durable together, or not at all: positions, value, the finished reply, what is to be done elsewhere.
///
/// A batch is judged alone: that another batch is refused, or shares its sync, makes no difference to it.
#[derive(Clone, Debug)]
pub struct Batch {
    now: UnixTime,
    ops: Vec<Op>,
}

impl Batch {
    /// The most steps of one batch: so many fit one durable write, and one that is refused wastes no more.
    pub const MAX_OPS: usize = 1024;

    /// The most requests that one [`Op::Forget`] removes: so many small deletions hold nobody up.
    pub const MAX_FORGOTTEN: usize = 1024;

    /// The latest time that a batch can name: signed 64-bit columns end there.
    pub const MAX_TIME: UnixTime = UnixTime::from_secs(i64::MAX as u64);

    /// An empty batch, judged at `now`.
    #[must_use]
    pub const fn new(now: UnixTime) -> Self {
        Self { now, ops: Vec::new() }
    }

    /// With one more step. Its outcome has the same place among the outcomes.
    #[must_use]
    pub fn with(mut self, op: Op) -> Self {
        self.ops.push(op);
        self
    }

    /// Adds a step.
    pub fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// When it is judged.
    #[must_use]
    pub const fn now(&self) -> UnixTime {
        self.now
    }

    /// Its steps.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }
}

/// The right to change a pad's row: the pad, and the epoch of the lease under which it was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a driver builds it from the row it attached")]
pub struct Fence {
    /// The pad.
    pub pad: PadId,
    /// The epoch of the lease.
    pub epoch: u64,
}

/// One step of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// Opens an empty account.
    OpenAccount {
        /// Its name.
        id: AccountId,
        /// The side its balance stands on.
        side: Side,
    },
    /// Moves value, or resolves a hold.
    Transfer(Transfer),
    /// Puts a new pad into the ledger; refused if it is there.
    Provision(PadRow),
    /// Takes a pad: a new epoch begins, and those of earlier owners are refused.
    Attach {
        /// The pad.
        pad: PadId,
        /// What its half says.
        instance: Instance,
        /// Who takes it.
        owner: OwnerId,
        /// How long nobody else may take it untold.
        until: UnixTime,
        /// Take it even while another's lease lasts.
        takeover: bool,
    },
    /// Makes a lease last longer.
    Renew {
        /// The right to do so.
        fence: Fence,
        /// Until when.
        until: UnixTime,
    },
    /// Gives a pad back, for anybody to attach.
    Detach {
        /// The right to do so.
        fence: Fence,
    },
    /// Changes nothing: refused unless the pad is open and ours, so that nothing is paid for by whoever lost it.
    Check {
        /// The right to go on.
        fence: Fence,
    },
    /// Marks bytes of our lane as used, before the first of them is.
    Reserve {
        /// The right to do so.
        fence: Fence,
        /// The lane's life.
        generation: Generation,
        /// Where the last reservation ended.
        from: u64,
        /// Where this one ends.
        to: u64,
        /// Its name.
        batch: BatchId,
    },
    /// Marks bytes of the peer's lane as received, before what they protected is released.
    Claim {
        /// The right to do so.
        fence: Fence,
        /// The lane's life.
        generation: Generation,
        /// Where the frame begins; of a key sequence, the index of its key.
        from: u64,
        /// Where it ends; of a key sequence, the same index.
        to: u64,
        /// Of a key sequence: the number of the frame under its key.
        seq: Option<u32>,
        /// The frame's own name.
        request: RequestId,
    },
    /// Stores the frame that answers a request.
    Answer {
        /// The right to do so.
        fence: Fence,
        /// The request.
        request: RequestId,
        /// The finished frame.
        frame: Vec<u8>,
    },
    /// Acknowledges a reservation of the peer: no frame beyond it is accepted (C3w).
    Ceiling {
        /// The right to do so.
        fence: Fence,
        /// The peer's lane's life.
        generation: Generation,
        /// Where the last reservation ended.
        from: u64,
        /// Where this one ends.
        to: u64,
        /// Its name.
        batch: BatchId,
    },
    /// Closes a pad for good, or halts it.
    Close {
        /// The right to do so.
        fence: Fence,
        /// What it becomes; not open.
        status: PadStatus,
    },
    /// Begins a new life of our lane where the peer says that it stands: an operator's decision (C3w).
    Recover {
        /// The right to do so.
        fence: Fence,
        /// The new life.
        generation: Generation,
        /// What the half says from now on.
        instance: Instance,
        /// The ceiling that the peer states.
        ceiling: u64,
        /// Where the lane goes on, if neither the ceiling nor our own last reservation lies beyond.
        reserved: u64,
        /// Names the reservation that brings the peer up to where the lane goes on.
        batch: BatchId,
    },
    /// Accepts a new life of the peer's lane (C3w).
    Adopt {
        /// The right to do so.
        fence: Fence,
        /// The life that ends.
        old: Generation,
        /// The life that begins.
        new: Generation,
        /// Where the lane goes on: the ceiling.
        from: u64,
    },
    /// Skips part of the peer's lane: an operator's decision, after frames were lost or a ledger was restored.
    Resync {
        /// The right to do so.
        fence: Fence,
        /// Nothing that begins below will be received any more.
        position: u64,
    },
    /// Opens a pad that its store halted when it was restored: an operator's decision, in the same batch as what moves
    /// both lanes beyond everything that may have been used since. Refused unless the status is
    /// [`PadStatus::RollbackSuspected`], and if there is a witness: such a pad is recovered. It moves no lane by itself.
    Reopen {
        /// The right to do so.
        fence: Fence,
    },
    /// Forgets requests and their answers, at most [`Batch::MAX_FORGOTTEN`], the oldest first: of a pad in use those that
    /// are no longer [remembered](PadRow::remembered), of one that was closed all. Repeated later, such a request is
    /// refused as a replay.
    Forget {
        /// The right to do so.
        fence: Fence,
    },
    /// Gives up a request that will get no answer. Repeated later, it is refused as a replay.
    Dismiss {
        /// The right to do so.
        fence: Fence,
        /// The request; refused if it was answered.
        request: RequestId,
    },
    /// Writes down something to be done elsewhere.
    Enqueue(OutboxEntry),
    /// Strikes it off when it was done.
    Dequeue(OutboxId),
}

impl Op {
    /// The pad whose row it is about, if it is about one.
    #[must_use]
    pub const fn pad(&self) -> Option<PadId> {
        match self {
            Self::OpenAccount { .. } | Self::Transfer(_) | Self::Enqueue(_) | Self::Dequeue(_) => None,
            Self::Provision(row) => Some(row.id),
            Self::Attach { pad, .. } => Some(*pad),
            Self::Renew { fence, .. }
            | Self::Detach { fence }
            | Self::Check { fence }
            | Self::Reserve { fence, .. }
            | Self::Claim { fence, .. }
            | Self::Answer { fence, .. }
            | Self::Ceiling { fence, .. }
            | Self::Close { fence, .. }
            | Self::Recover { fence, .. }
            | Self::Adopt { fence, .. }
            | Self::Resync { fence, .. }
            | Self::Reopen { fence }
            | Self::Forget { fence }
            | Self::Dismiss { fence, .. } => Some(fence.pad),
        }
    }
}

/// What a step of a committed batch did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was applied.
    Created,
    /// It had been applied before, exactly so; nothing changed.
    AlreadyExists,
    /// The pad is attached; this is its row now.
    Attached(Box<PadRow>),
    /// So many requests were forgotten.
    Forgotten {
        /// How many; as many as one step may, if there are more.
        requests: usize,
    },
    /// Not a step's own: a pad came to an end in this commit. These follow the outcomes of the steps.
    Ended {
        /// The pad.
        pad: PadId,
        /// What it became.
        status: PadStatus,
    },
}
