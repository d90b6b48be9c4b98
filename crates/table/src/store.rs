//! What a database must do for this crate. Each trait ships with an in-memory implementation and a conformance suite.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;

use symbolon_keys::{Epoch, Id, UnixTime};

use crate::document::ApprovalId;
use crate::letter::{Delivery, Deposit, Letter, Quota};
use crate::message::MessageId;
use crate::record::Record;

/// Keeps the records of a directory: one history for each id, which only grows.
pub trait DirectoryStore: Send + Sync + 'static {
    /// Stores `record` if it is the next of its id: epoch 0 where there is none, else one after the newest. Answers
    /// whether it did.
    ///
    /// The test and the write are one step: of two records racing for one epoch, one is stored. The record is durable
    /// when the answer is `true`; after an error it may or may not be stored, and the caller looks again.
    fn append(&self, record: &Record) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The newest record of each of `ids`, in their order.
    fn newest(&self, ids: &[Id]) -> impl Future<Output = Result<Vec<Option<Record>>, StoreError>> + Send;

    /// The records of `id` from epoch `from` on, in order, at most `limit`.
    fn history(
        &self,
        id: &Id,
        from: Epoch,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send;
}

/// Keeps letters until their recipients have them.
pub trait MailboxStore: Send + Sync + 'static {
    /// Stores `letter` under a new sequence number of its recipient: larger than every number the recipient ever had,
    /// those of letters long gone included.
    ///
    /// A letter with the sender and message id of one that lies there is not stored again ([`Deposit::Already`], or
    /// [`Deposit::Conflict`] if its bytes differ), whatever the quota; a letter beyond `quota` is refused
    /// ([`Deposit::Full`]). All of it is one step, durable when the answer is [`Deposit::Stored`]. After an error the
    /// letter may or may not be stored; depositing it again is safe.
    fn deposit(
        &self,
        letter: &Letter,
        quota: &Quota,
    ) -> impl Future<Output = Result<Deposit, StoreError>> + Send;

    /// The letters to `recipient` with sequence numbers above `after`, in order, at most `limit`.
    ///
    /// Once a letter was seen, none with a smaller number appears: whoever asks only for later ones misses nothing.
    fn poll(
        &self,
        recipient: &Id,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, StoreError>> + Send;

    /// Removes those of the numbered letters that lie there for `recipient`, durably, and answers how many did.
    /// Numbers of other recipients' letters, of letters already gone or never stored count for nothing.
    fn acknowledge(
        &self,
        recipient: &Id,
        sequences: &[u64],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Removes every letter deposited before `before` and answers how many there were.
    fn expire(&self, before: UnixTime) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// Remembers which messages were accepted, so that none is accepted twice.
///
/// # Security
/// Whoever loses this memory accepts replays. An entry may go only when its message can no longer be opened: that is,
/// when the recipient's key of that epoch is gone.
pub trait InboxStore: Send + Sync + 'static {
    /// Remembers (`recipient`, `sender`, `id`) and the recipient's key epoch that the message was sealed to. Answers
    /// `true` if it is new, and then it is durable; `false` if it was there, under whatever epoch.
    ///
    /// The test and the write are one step. After an error it may or may not be remembered.
    fn remember(
        &self,
        recipient: &Id,
        sender: &Id,
        id: &MessageId,
        epoch: Epoch,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Drops what `recipient` remembers of epochs below `epoch`, and answers how many entries those were.
    fn forget(&self, recipient: &Id, epoch: Epoch) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// Remembers which approvals were acted upon, so that none counts twice.
pub trait ApprovalStore: Send + Sync + 'static {
    /// Remembers the approval until `expires`. Answers `true` if it is new, and then it is durable; else `false`.
    ///
    /// The test and the write are one step. After an error it may or may not be remembered.
    fn spend(
        &self,
        id: &ApprovalId,
        expires: UnixTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Drops what expired before `before`, and answers how many entries those were.
    fn forget_expired(&self, before: UnixTime) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// A store failed. What it says is for the operator; a program needs to know only whether trying again can help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    message: String,
    retryable: bool,
}

impl StoreError {
    /// A failure that stays: a corrupt database, a wrong schema.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), retryable: false }
    }

    /// A failure that may pass: busy, full, disconnected.
    #[must_use]
    pub fn retryable(message: impl Into<String>) -> Self {
        Self { message: message.into(), retryable: true }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = if self.retryable { "try again" } else { "ask the operator" };
        write!(f, "store: {}; {next}", self.message)
    }
}

impl core::error::Error for StoreError {}
