use alloc::string::ToString;
use alloc::vec::Vec;

use symbolon_keys::{Epoch, Id, UnixTime};
use symbolon_table::{
    ApprovalId, ApprovalStore, Delivery, Deposit, DirectoryStore, InboxStore, Letter, MailboxStore,
    MessageId, Quota, Record, StoreError,
};

use super::{Faulty, Injected};

impl From<Injected> for StoreError {
    fn from(injected: Injected) -> Self {
        Self::retryable(injected.to_string())
    }
}

impl<S: DirectoryStore> DirectoryStore for Faulty<S> {
    async fn append(&self, record: &Record) -> Result<bool, StoreError> {
        let begun = self.begin("append", true).await?;
        begun.end(self.inner().append(record).await)
    }

    async fn newest(&self, ids: &[Id]) -> Result<Vec<Option<Record>>, StoreError> {
        let begun = self.begin("newest", false).await?;
        begun.end(self.inner().newest(ids).await)
    }

    async fn history(&self, id: &Id, from: Epoch, limit: usize) -> Result<Vec<Record>, StoreError> {
        let begun = self.begin("history", false).await?;
        begun.end(self.inner().history(id, from, limit).await)
    }
}

impl<S: MailboxStore> MailboxStore for Faulty<S> {
    async fn deposit(&self, letter: &Letter, quota: &Quota) -> Result<Deposit, StoreError> {
        let begun = self.begin("deposit", true).await?;
        begun.end(self.inner().deposit(letter, quota).await)
    }

    async fn poll(&self, recipient: &Id, after: u64, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let begun = self.begin("poll", false).await?;
        begun.end(self.inner().poll(recipient, after, limit).await)
    }

    async fn acknowledge(&self, recipient: &Id, sequences: &[u64]) -> Result<u64, StoreError> {
        let begun = self.begin("acknowledge", true).await?;
        begun.end(self.inner().acknowledge(recipient, sequences).await)
    }

    async fn expire(&self, before: UnixTime) -> Result<u64, StoreError> {
        let begun = self.begin("expire", true).await?;
        begun.end(self.inner().expire(before).await)
    }
}

impl<S: InboxStore> InboxStore for Faulty<S> {
    async fn remember(
        &self,
        recipient: &Id,
        sender: &Id,
        id: &MessageId,
        epoch: Epoch,
    ) -> Result<bool, StoreError> {
        let begun = self.begin("remember", true).await?;
        begun.end(self.inner().remember(recipient, sender, id, epoch).await)
    }

    async fn forget(&self, recipient: &Id, epoch: Epoch) -> Result<u64, StoreError> {
        let begun = self.begin("forget", true).await?;
        begun.end(self.inner().forget(recipient, epoch).await)
    }
}

impl<S: ApprovalStore> ApprovalStore for Faulty<S> {
    async fn spend(&self, id: &ApprovalId, expires: UnixTime) -> Result<bool, StoreError> {
        let begun = self.begin("spend", true).await?;
        begun.end(self.inner().spend(id, expires).await)
    }

    async fn forget_expired(&self, before: UnixTime) -> Result<u64, StoreError> {
        let begun = self.begin("forget_expired", true).await?;
        begun.end(self.inner().forget_expired(before).await)
    }
}
