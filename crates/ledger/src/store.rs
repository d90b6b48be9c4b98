use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use symbolon_keys::UnixTime;

use crate::{
    AccountId, AccountRow, Batch, Entry, Head, OutboxEntry, Outcome, PadId, PadRow, Refused, RequestId,
    RequestRow, TransferId, TransferRow,
};

/// What a ledger is kept in.
///
/// # Contract
/// - When [`commit`](Self::commit) returns `Ok`, the batch is durable: it survives the loss of power. Nothing that the
///   batch permits (a pad byte, a plaintext, a reply) leaves before that.
/// - [`CommitError::Refused`] and [`CommitError::NotApplied`]: certainly nothing of it was, or will be, applied. What a
///   refusal was judged on is durable when it returns: that a pad has ended is reason enough to destroy its half.
/// - [`CommitError::Unknown`]: it may have been. All of it counts as used, until asked again by id.
/// - Batches take effect in one order, each as a whole. What a batch does is decided by [`apply`](crate::apply::apply)
///   alone, run inside the store's transaction on the rows that the batch touches.
/// - Dropping the future of a commit cancels nothing.
/// - A read sees every commit that returned before it began.
/// - A store never comes up empty where one was expected: creating a ledger and attaching one are different calls.
///
/// Many commits in flight may share one sync (group commit); each is judged alone.
///
/// The suite in [`conformance`](crate::conformance) checks an implementation.
pub trait LedgerStore: Send + Sync + 'static {
    /// Applies a batch, durably. The outcomes of its steps come first, in order.
    ///
    /// # Errors
    /// [`CommitError`]; see the contract above.
    fn commit(&self, batch: Batch) -> impl Future<Output = Result<Vec<Outcome>, CommitError>> + Send;

    /// The row of a pad.
    ///
    /// # Errors
    /// [`StorageError`] if the storage fails, or holds what no batch wrote.
    fn pad(&self, id: PadId) -> impl Future<Output = Result<Option<PadRow>, StorageError>> + Send;

    /// The pads after `after`, in the order of their ids, at most `limit`.
    ///
    /// # Errors
    /// As for [`pad`](Self::pad).
    fn pads(
        &self,
        after: Option<PadId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<PadRow>, StorageError>> + Send;

    /// The row of an account.
    ///
    /// # Errors
    /// As for [`pad`](Self::pad).
    fn account(&self, id: AccountId)
    -> impl Future<Output = Result<Option<AccountRow>, StorageError>> + Send;

    /// The row of a transfer.
    ///
    /// # Errors
    /// As for [`pad`](Self::pad).
    fn transfer(
        &self,
        id: TransferId,
    ) -> impl Future<Output = Result<Option<TransferRow>, StorageError>> + Send;

    /// The holds that are not resolved and whose time has come at `now`: they expired, or matured. At most `limit`.
    ///
    /// # Errors
    /// As for [`pad`](Self::pad).
    fn due(
        &self,
        now: UnixTime,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<TransferRow>, StorageError>> + Send;

    /// A request that came under a pad, and its reply.
    ///
    /// # Errors
    /// As for [`pad`](Self::pad).
    fn request(
        &self,
        pad: PadId,
        id: RequestId,
    ) -> impl Future<Output = Result<Option<RequestRow>, StorageError>> + Send;

    /// The requests that came under a pad and have no reply, in the order of where their frames ended and then of their
    /// ids, at most `limit`: all, or those after such a place.
    ///
    /// # Errors
    /// As for [`pad`](Self::pad).
    fn unanswered(
        &self,
        pad: PadId,
        after: Option<(u64, RequestId)>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<RequestRow>, StorageError>> + Send;

    /// How far the journal goes.
    ///
    /// # Errors
    /// As for [`pad`](Self::pad).
    fn head(&self) -> impl Future<Output = Result<Head, StorageError>> + Send;

    /// The entries after number `after` in order, at most `limit`: all, or those that concern one account.
    ///
    /// # Errors
    /// As for [`pad`](Self::pad).
    fn journal(
        &self,
        account: Option<AccountId>,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, StorageError>> + Send;

    /// What is to be done elsewhere, oldest first, at most `limit`.
    ///
    /// # Errors
    /// As for [`pad`](Self::pad).
    fn outbox(&self, limit: usize) -> impl Future<Output = Result<Vec<OutboxEntry>, StorageError>> + Send;
}

impl<S: LedgerStore> LedgerStore for Arc<S> {
    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, CommitError> {
        (**self).commit(batch).await
    }

    async fn pad(&self, id: PadId) -> Result<Option<PadRow>, StorageError> {
        (**self).pad(id).await
    }

    async fn pads(&self, after: Option<PadId>, limit: usize) -> Result<Vec<PadRow>, StorageError> {
        (**self).pads(after, limit).await
    }

    async fn account(&self, id: AccountId) -> Result<Option<AccountRow>, StorageError> {
        (**self).account(id).await
    }

    async fn transfer(&self, id: TransferId) -> Result<Option<TransferRow>, StorageError> {
        (**self).transfer(id).await
    }

    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<TransferRow>, StorageError> {
        (**self).due(now, limit).await
    }

    async fn request(&self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>, StorageError> {
        (**self).request(pad, id).await
    }

    async fn unanswered(
        &self,
        pad: PadId,
        after: Option<(u64, RequestId)>,
        limit: usize,
    ) -> Result<Vec<RequestRow>, StorageError> {
        (**self).unanswered(pad, after, limit).await
    }

    async fn head(&self) -> Result<Head, StorageError> {
        (**self).head().await
    }

    async fn journal(
        &self,
        account: Option<AccountId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        (**self).journal(account, after, limit).await
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StorageError> {
        (**self).outbox(limit).await
    }
}

/// The storage failed: the store's own error, whatever it is.
#[derive(Debug)]
pub struct StorageError(Box<dyn core::error::Error + Send + Sync>);

impl StorageError {
    /// Wraps the store's own error, or a text.
    pub fn new(cause: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ledger's storage failed: {}", self.0)
    }
}

impl core::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// Why a batch was not committed, or may not have been.
#[derive(Debug)]
#[non_exhaustive]
pub enum CommitError {
    /// The ledger refuses it; nothing was changed.
    Refused(Refused),
    /// The storage failed before anything was written; nothing was changed.
    NotApplied(StorageError),
    /// The storage failed: all of the batch may be durable, or none. Everything in it counts as used; ask by id.
    Unknown(StorageError),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::NotApplied(error) => write!(f, "nothing was changed: {error}"),
            Self::Unknown(error) => write!(f, "the outcome is unknown, ask again by id: {error}"),
        }
    }
}

impl core::error::Error for CommitError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::NotApplied(error) | Self::Unknown(error) => Some(error),
        }
    }
}

impl From<Refused> for CommitError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
