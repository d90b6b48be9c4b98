use alloc::vec::Vec;

use symbolon_keys::UnixTime;
use symbolon_ledger::{
    AccountId, AccountRow, Batch, CommitError, Entry, Head, LedgerStore, OutboxEntry, Outcome, PadId, PadRow,
    RequestId, RequestRow, StorageError, TransferId, TransferRow,
};

use super::{Faulty, Injected};

impl From<Injected> for StorageError {
    fn from(injected: Injected) -> Self {
        Self::new(injected)
    }
}

impl From<Injected> for CommitError {
    fn from(injected: Injected) -> Self {
        match injected.unknown {
            true => Self::Unknown(injected.into()),
            false => Self::NotApplied(injected.into()),
        }
    }
}

impl<S: LedgerStore> LedgerStore for Faulty<S> {
    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, CommitError> {
        let begun = self.begin("commit", true).await?;
        begun.end(self.inner().commit(batch).await)
    }

    async fn pad(&self, id: PadId) -> Result<Option<PadRow>, StorageError> {
        let begun = self.begin("pad", false).await?;
        begun.end(self.inner().pad(id).await)
    }

    async fn pads(&self, after: Option<PadId>, limit: usize) -> Result<Vec<PadRow>, StorageError> {
        let begun = self.begin("pads", false).await?;
        begun.end(self.inner().pads(after, limit).await)
    }

    async fn account(&self, id: AccountId) -> Result<Option<AccountRow>, StorageError> {
        let begun = self.begin("account", false).await?;
        begun.end(self.inner().account(id).await)
    }

    async fn transfer(&self, id: TransferId) -> Result<Option<TransferRow>, StorageError> {
        let begun = self.begin("transfer", false).await?;
        begun.end(self.inner().transfer(id).await)
    }

    async fn due(&self, now: UnixTime, limit: usize) -> Result<Vec<TransferRow>, StorageError> {
        let begun = self.begin("due", false).await?;
        begun.end(self.inner().due(now, limit).await)
    }

    async fn request(&self, pad: PadId, id: RequestId) -> Result<Option<RequestRow>, StorageError> {
        let begun = self.begin("request", false).await?;
        begun.end(self.inner().request(pad, id).await)
    }

    async fn unanswered(
        &self,
        pad: PadId,
        after: Option<(u64, RequestId)>,
        limit: usize,
    ) -> Result<Vec<RequestRow>, StorageError> {
        let begun = self.begin("unanswered", false).await?;
        begun.end(self.inner().unanswered(pad, after, limit).await)
    }

    async fn head(&self) -> Result<Head, StorageError> {
        let begun = self.begin("head", false).await?;
        begun.end(self.inner().head().await)
    }

    async fn journal(
        &self,
        account: Option<AccountId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        let begun = self.begin("journal", false).await?;
        begun.end(self.inner().journal(account, after, limit).await)
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StorageError> {
        let begun = self.begin("outbox", false).await?;
        begun.end(self.inner().outbox(limit).await)
    }
}
