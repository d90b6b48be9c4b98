use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use symbolon_keys::UnixTime;

use crate::{
    AccountId, Amount, BatchId, Generation, Instance, OutboxEntry, OutboxId, OwnerId, PadId, PadRow,
    PadStatus, RequestId, Side, Transfer, TransferId,
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

/// A batch was not applied, no part of it: the step that was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two facts, and nothing else to say")]
pub struct Refused {
    /// The place of the step in its batch.
    pub op: usize,
    /// Why it was refused.
    pub why: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} was refused, nothing was changed: {}", self.op, self.why)
    }
}

impl core::error::Error for Refused {}

/// Why a step was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The batch has more than [`Batch::MAX_OPS`] steps, or a payload is longer than its limit.
    TooLarge,
    /// The ledger has no such pad.
    NoSuchPad(PadId),
    /// The ledger has this pad already.
    PadExists(PadId),
    /// A row of a new pad contradicts itself.
    InvalidPad,
    /// The pad is not open.
    NotOpen(PadStatus),
    /// The half was provisioned for another row, or recovered since: this ledger or this half is an old copy.
    OtherInstance,
    /// Another process has attached the pad since.
    Fenced {
        /// The epoch of its lease.
        epoch: u64,
    },
    /// Another process owns the pad.
    Leased {
        /// Until when.
        until: UnixTime,
    },
    /// The lane has entered another life.
    OtherGeneration,
    /// The reservation does not begin where the last one ended, or ends beyond the lane.
    NotNext {
        /// Where the last one ended.
        reserved: u64,
    },
    /// The frame lies below what was received before.
    Replayed {
        /// The position of the lane.
        position: u64,
    },
    /// The frame lies further ahead than is allowed.
    TooFarAhead {
        /// The farthest end, or beginning without a witness, that is allowed.
        limit: u64,
    },
    /// No such request was received.
    NoSuchRequest(RequestId),
    /// The request has got another answer.
    Answered(RequestId),
    /// There is no such account.
    NoSuchAccount(AccountId),
    /// The account is closed.
    AccountClosed(AccountId),
    /// The account holds the value of another pad, or stands on the wrong side for it.
    AccountUnfit(AccountId),
    /// The account cannot pay this.
    Insufficient {
        /// The account.
        account: AccountId,
        /// What it can pay.
        available: Amount,
    },
    /// A balance would become too large to count.
    Overflow(AccountId),
    /// An account cannot pay itself.
    SameAccount(AccountId),
    /// The transfer says something that its kind has no use for, or lacks something that it needs.
    InvalidTransfer(TransferId),
    /// The id names something else already.
    Conflict([u8; 16]),
    /// There is no such hold.
    NoSuchHold(TransferId),
    /// The hold was resolved before, by this transfer.
    Resolved(TransferId),
    /// The hold has expired; it can only be expired.
    Expired {
        /// When.
        at: UnixTime,
    },
    /// The hold has not expired, or not matured, yet.
    TooEarly {
        /// When it will.
        at: UnixTime,
    },
    /// A deposit cannot be released.
    Deposit(TransferId),
    /// More is to be captured than was set aside.
    AboveHold {
        /// What was set aside.
        held: Amount,
    },
    /// The journal is full.
    JournalFull,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the batch is larger than its limits"),
            Self::NoSuchPad(pad) => write!(f, "the ledger has no pad {pad}: provision it, or attach its own ledger"),
            Self::PadExists(pad) => write!(f, "the ledger has pad {pad} already: attach it"),
            Self::InvalidPad => f.write_str("the row of the new pad contradicts itself"),
            Self::NotOpen(status) => write!(f, "the pad is {status}"),
            Self::OtherInstance => f.write_str(
                "the pad's half belongs to another ledger, or one of the two is an old copy: restore both, or recover",
            ),
            Self::Fenced { epoch } => {
                write!(f, "another process has attached the pad (epoch {epoch}): this handle is dead")
            }
            Self::Leased { until } => {
                write!(f, "another process owns the pad until {} s: wait, or take it over", until.as_secs())
            }
            Self::OtherGeneration => f.write_str("the lane has entered another generation"),
            Self::NotNext { reserved } => write!(f, "the lane is reserved up to {reserved}: attach again"),
            Self::Replayed { position } => write!(f, "the lane was received up to {position}: this is a replay"),
            Self::TooFarAhead { limit } => {
                write!(f, "the frame lies beyond {limit}: the peer must be heard first, or an operator must resync")
            }
            Self::NoSuchRequest(id) => write!(f, "no request {id} was received"),
            Self::Answered(id) => write!(f, "request {id} was answered already, and differently"),
            Self::NoSuchAccount(id) => write!(f, "there is no account {id}"),
            Self::AccountClosed(id) => write!(f, "account {id} is closed"),
            Self::AccountUnfit(id) => write!(f, "account {id} cannot hold the value of this pad"),
            Self::Insufficient { account, available } => {
                write!(f, "account {account} can pay {available} and no more")
            }
            Self::Overflow(id) => write!(f, "the balance of account {id} would be too large"),
            Self::SameAccount(id) => write!(f, "account {id} cannot pay itself"),
            Self::InvalidTransfer(id) => write!(f, "transfer {id} contradicts itself"),
            Self::Conflict(id) => {
                f.write_str("the id names something else already: ")?;
                id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::NoSuchHold(id) => write!(f, "there is no hold {id}"),
            Self::Resolved(by) => write!(f, "the hold was resolved by transfer {by}"),
            Self::Expired { at } => write!(f, "the hold expired at {} s: expire it", at.as_secs()),
            Self::TooEarly { at } => write!(f, "too early: the time is {} s", at.as_secs()),
            Self::Deposit(id) => write!(f, "{id} is a deposit: it is paid back when it matures, and not released"),
            Self::AboveHold { held } => write!(f, "the hold set aside {held} and no more"),
            Self::JournalFull => f.write_str("the journal is full"),
        }
    }
}

impl core::error::Error for Refusal {}
