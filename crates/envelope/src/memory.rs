//! Stores in memory: for tests, and for services that need nothing kept.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use symbolon_keys::Id;

use crate::records::{Change, PayloadId, Record, RecordId, Records, Upload};
use crate::user_keys::{UserKeyRow, UserKeyStore};

/// [`Records`] in memory.
#[derive(Debug, Default)]
pub struct MemoryRecords(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    records: BTreeMap<RecordId, Record>,
    payloads: BTreeMap<PayloadId, Arc<Vec<u8>>>,
    grants: BTreeSet<(RecordId, Id)>,
    required: u32,
}

impl Tables {
    fn of(&self, id: RecordId, owner: Id) -> Option<&Record> {
        self.records.get(&id).filter(|record| record.owner == owner)
    }
}

/// A payload on its way into [`MemoryRecords`].
#[derive(Debug)]
pub struct MemoryUpload(Vec<u8>);

impl MemoryRecords {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.0)
    }
}

/// Nothing panics while it holds one of these locks, so that what a poisoned one guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Upload for MemoryUpload {
    type Error = Infallible;

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl Records for MemoryRecords {
    type Error = Infallible;
    type Upload = MemoryUpload;

    async fn upload(&self, _: PayloadId) -> Result<MemoryUpload, Infallible> {
        Ok(MemoryUpload(Vec::new()))
    }

    async fn put(
        &self,
        record: Record,
        payload: MemoryUpload,
        replaces: Option<u64>,
    ) -> Result<Change, Infallible> {
        let mut tables = self.tables();
        if record.server_key < tables.required {
            return Ok(Change::Outdated(tables.required));
        }
        let found = tables.records.get(&record.id);
        let (sequence, old) = (found.map(|old| old.sequence), found.map(|old| old.payload.id));
        let foreign = found.is_some_and(|old| old.owner != record.owner);
        if foreign || sequence != replaces {
            return Ok(Change::Conflict(sequence.filter(|_| !foreign)));
        }
        if let Some(old) = old {
            tables.payloads.remove(&old);
        }
        tables.payloads.insert(record.payload.id, Arc::new(payload.0));
        tables.records.insert(record.id, record);
        Ok(Change::Done)
    }

    async fn get(&self, id: RecordId) -> Result<Option<Record>, Infallible> {
        Ok(self.tables().records.get(&id).cloned())
    }

    async fn read(&self, payload: PayloadId, offset: u64, max: usize) -> Result<Option<Vec<u8>>, Infallible> {
        let Some(bytes) = self.tables().payloads.get(&payload).cloned() else { return Ok(None) };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(max).min(bytes.len());
        Ok(Some(bytes.get(start..end).unwrap_or_default().to_vec()))
    }

    async fn replace_header(
        &self,
        id: RecordId,
        payload: PayloadId,
        expected: u64,
        header: Vec<u8>,
        server_key: u32,
    ) -> Result<Change, Infallible> {
        let mut tables = self.tables();
        if server_key < tables.required {
            return Ok(Change::Outdated(tables.required));
        }
        let Some(record) = tables.records.get_mut(&id) else { return Ok(Change::Conflict(None)) };
        match expected.checked_add(1) {
            Some(next) if record.sequence == expected && record.payload.id == payload => {
                record.sequence = next;
                record.header = header;
                record.server_key = server_key;
                Ok(Change::Done)
            }
            _ => Ok(Change::Conflict(Some(record.sequence))),
        }
    }

    async fn require(&self, server_key: u32) -> Result<(), Infallible> {
        let mut tables = self.tables();
        tables.required = tables.required.max(server_key);
        Ok(())
    }

    async fn delete(&self, id: RecordId, owner: Id) -> Result<bool, Infallible> {
        let mut tables = self.tables();
        let Some(payload) = tables.of(id, owner).map(|record| record.payload.id) else { return Ok(false) };
        tables.records.remove(&id);
        tables.payloads.remove(&payload);
        tables.grants.retain(|(granted, _)| *granted != id);
        Ok(true)
    }

    async fn owned_by(
        &self,
        owner: Id,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<Record>, Infallible> {
        let tables = self.tables();
        let later = tables.records.range((beyond(after), Bound::Unbounded)).map(|(_, record)| record);
        Ok(later.filter(|record| record.owner == owner).take(limit).cloned().collect())
    }

    async fn below(
        &self,
        version: u32,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<Record>, Infallible> {
        let tables = self.tables();
        let later = tables.records.range((beyond(after), Bound::Unbounded)).map(|(_, record)| record);
        Ok(later.filter(|record| record.server_key < version).take(limit).cloned().collect())
    }

    async fn grant(&self, id: RecordId, owner: Id, user: Id) -> Result<bool, Infallible> {
        let mut tables = self.tables();
        if tables.of(id, owner).is_none() {
            return Ok(false);
        }
        tables.grants.insert((id, user));
        Ok(true)
    }

    async fn revoke(&self, id: RecordId, owner: Id, user: Id) -> Result<bool, Infallible> {
        let mut tables = self.tables();
        Ok(tables.of(id, owner).is_some() && tables.grants.remove(&(id, user)))
    }

    async fn granted(&self, id: RecordId, user: Id) -> Result<bool, Infallible> {
        Ok(self.tables().grants.contains(&(id, user)))
    }

    async fn grantees(&self, id: RecordId) -> Result<Vec<Id>, Infallible> {
        let tables = self.tables();
        Ok(tables.grants.iter().filter(|(granted, _)| *granted == id).map(|(_, user)| *user).collect())
    }

    async fn granted_to(
        &self,
        user: Id,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<RecordId>, Infallible> {
        let tables = self.tables();
        let of_user = tables.grants.iter().filter(|(_, grantee)| *grantee == user).map(|(id, _)| *id);
        Ok(of_user.filter(|id| after.is_none_or(|after| *id > after)).take(limit).collect())
    }
}

fn beyond<T>(after: Option<T>) -> Bound<T> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

/// [`UserKeyStore`] in memory.
#[derive(Debug, Default)]
pub struct MemoryUserKeys(Mutex<UserKeys>);

#[derive(Debug, Default)]
struct UserKeys {
    rows: BTreeMap<Id, UserKeyRow>,
    required: u32,
}

impl UserKeyStore for MemoryUserKeys {
    type Error = Infallible;

    async fn put(&self, row: UserKeyRow, replaces: Option<u64>) -> Result<Change, Infallible> {
        let UserKeys { rows, required } = &mut *lock(&self.0);
        if row.server_key < *required {
            return Ok(Change::Outdated(*required));
        }
        let found = rows.get(&row.user);
        let revision = found.map(|old| old.revision);
        if revision != replaces || found.is_some_and(|old| old.key_id != row.key_id) {
            return Ok(Change::Conflict(revision));
        }
        rows.insert(row.user, row);
        Ok(Change::Done)
    }

    async fn require(&self, server_key: u32) -> Result<(), Infallible> {
        let mut keys = lock(&self.0);
        keys.required = keys.required.max(server_key);
        Ok(())
    }

    async fn get(&self, user: Id) -> Result<Option<UserKeyRow>, Infallible> {
        Ok(lock(&self.0).rows.get(&user).cloned())
    }

    async fn delete(&self, user: Id) -> Result<bool, Infallible> {
        Ok(lock(&self.0).rows.remove(&user).is_some())
    }

    async fn below(
        &self,
        version: u32,
        after: Option<Id>,
        limit: usize,
    ) -> Result<Vec<UserKeyRow>, Infallible> {
        let keys = lock(&self.0);
        let later = keys.rows.range((beyond(after), Bound::Unbounded)).map(|(_, row)| row);
        Ok(later.filter(|row| row.server_key < version).take(limit).cloned().collect())
    }
}
