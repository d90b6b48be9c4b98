use alloc::vec::Vec;

use symbolon_keys::UnixTime;
use symbolon_ledger::{
    AccountId, AccountRow, Batch, CommitError, Entry, Head, LedgerStore, OutboxEntry, Outcome, PadId, PadRow,
    RequestId, RequestRow, StorageError, TransferId, TransferRow,
};

use super::AnyStore;

impl LedgerStore for AnyStore {
    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, CommitError> {
        on!(self, LedgerStore::commit, batch)
    }

    async fn pad(&self, id: PadId) -> Result<Option<PadRow>, StorageError> {
        on!(self, LedgerStore::pad, id)
    }

    async fn pads(&self, after: Option<PadId>, limit: usize) -> Result<Vec<PadRow>, StorageError> {
        on!(self, LedgerStore::pads, after, limit)
    }

    async fn account(&self, id: AccountId) -> Result<Option<AccountRow>, StorageError> {
        on!(self, LedgerStore::account, id)
    }

    async fn transfer(&self, id: TransferId) -> Result<Option<TransferRow>, StorageError> {
        on!(self, LedgerStore::transfer, id)
    }

    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<TransferRow>, StorageError> {
        on!(self, LedgerStore::due, now, limit)
    }

    async fn request(&self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>, StorageError> {
        on!(self, LedgerStore::request, pad, id)
    }

    async fn unanswered(
        &self,
        pad: PadId,
        after: Option<(u64, RequestId)>,
        limit: usize,
    ) -> Result<Vec<RequestRow>, StorageError> {
        on!(self, LedgerStore::unanswered, pad, after, limit)
    }

    async fn head(&self) -> Result<Head, StorageError> {
        on!(self, LedgerStore::head)
    }

    async fn journal(
        &self,
        account: Option<AccountId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        on!(self, LedgerStore::journal, account, after, limit)
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StorageError> {
        on!(self, LedgerStore::outbox, limit)
    }
}
