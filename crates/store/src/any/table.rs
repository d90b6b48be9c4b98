use alloc::vec::Vec;

use symbolon_keys::{Epoch, Id, UnixTime};
use symbolon_table::{
    ApprovalId, ApprovalStore, Delivery, Deposit, DirectoryStore, InboxStore, Letter, MailboxStore,
    MessageId, Quota, Record, StoreError,
};

use super::AnyStore;

impl DirectoryStore for AnyStore {
    async fn append(&self, record: &Record) -> Result<bool, StoreError> {
        on!(self, DirectoryStore::append, record)
    }

    async fn newest(&self, ids: &[Id]) -> Result<Vec<Option<Record>>, StoreError> {
        on!(self, DirectoryStore::newest, ids)
    }

    async fn history(&self, id: &Id, from: Epoch, limit: usize) -> Result<Vec<Record>, StoreError> {
        on!(self, DirectoryStore::history, id, from, limit)
    }
}

impl MailboxStore for AnyStore {
    async fn deposit(&self, letter: &Letter, quota: &Quota) -> Result<Deposit, StoreError> {
        on!(self, MailboxStore::deposit, letter, quota)
    }

    async fn poll(&self, recipient: &Id, after: u64, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        on!(self, MailboxStore::poll, recipient, after, limit)
    }

    async fn acknowledge(&self, recipient: &Id, sequences: &[u64]) -> Result<u64, StoreError> {
        on!(self, MailboxStore::acknowledge, recipient, sequences)
    }

    async fn expire(&self, before: UnixTime) -> Result<u64, StoreError> {
        on!(self, MailboxStore::expire, before)
    }
}

impl InboxStore for AnyStore {
    async fn remember(
        &self,
        recipient: &Id,
        sender: &Id,
        id: &MessageId,
        epoch: Epoch,
    ) -> Result<bool, StoreError> {
        on!(self, InboxStore::remember, recipient, sender, id, epoch)
    }

    async fn forget(&self, recipient: &Id, epoch: Epoch) -> Result<u64, StoreError> {
        on!(self, InboxStore::forget, recipient, epoch)
    }
}

impl ApprovalStore for AnyStore {
    async fn spend(&self, id: &ApprovalId, expires: UnixTime) -> Result<bool, StoreError> {
        on!(self, ApprovalStore::spend, id, expires)
    }

    async fn forget_expired(&self, before: UnixTime) -> Result<u64, StoreError> {
        on!(self, ApprovalStore::forget_expired, before)
    }
}
