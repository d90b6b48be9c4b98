//! Pads, accounts, transfers and their journal (`schema/sqlite/ledger.sql`).

use alloc::vec::Vec;

use symbolon_keys::UnixTime;
use symbolon_ledger::apply::apply;
use symbolon_ledger::{
    AccountId, AccountRow, Batch, CommitError, Entry, Head, LedgerStore, OutboxEntry, Outcome, PadId, PadRow,
    RequestId, RequestRow, StorageError, TransferId, TransferRow,
};

mod rows;

use super::Sqlite;
use rows::Rows;

impl LedgerStore for Sqlite {
    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, CommitError> {
        // What is refused has written nothing.
        Ok(self.write(move |db| apply(&mut Rows(db), &batch)).await??)
    }

    async fn pad(&self, id: PadId) -> Result<Option<PadRow>, StorageError> {
        Ok(self.read(move |db| rows::pad(db, id)).await?)
    }

    async fn pads(&self, after: Option<PadId>, limit: usize) -> Result<Vec<PadRow>, StorageError> {
        Ok(self.read(move |db| rows::pads(db, after, limit)).await?)
    }

    async fn account(&self, id: AccountId) -> Result<Option<AccountRow>, StorageError> {
        Ok(self.read(move |db| rows::account(db, id)).await?)
    }

    async fn transfer(&self, id: TransferId) -> Result<Option<TransferRow>, StorageError> {
        Ok(self.read(move |db| rows::transfer(db, id)).await?)
    }

    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<TransferRow>, StorageError> {
        Ok(self.read(move |db| rows::due(db, now, limit)).await?)
    }

    async fn request(&self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>, StorageError> {
        Ok(self.read(move |db| rows::request(db, pad, id)).await?)
    }

    async fn unanswered(
        &self,
        pad: PadId,
        after: Option<(u64, RequestId)>,
        limit: usize,
    ) -> Result<Vec<RequestRow>, StorageError> {
        Ok(self.read(move |db| rows::unanswered(db, pad, after, limit)).await?)
    }

    async fn head(&self) -> Result<Head, StorageError> {
        Ok(self.read(rows::head).await?)
    }

    async fn journal(
        &self,
        account: Option<AccountId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.read(move |db| rows::journal(db, account, after, limit)).await?)
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StorageError> {
        Ok(self.read(move |db| rows::outbox(db, limit)).await?)
    }
}
