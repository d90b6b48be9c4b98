use core::fmt;

use symbolon_keys::UnixTime;

use crate::{AccountId, Amount, PadId, PadStatus, RequestId, TransferId};

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
    /// The batch has more than [`Batch::MAX_OPS`](crate::Batch::MAX_OPS) steps, or a payload is longer than its limit.
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
