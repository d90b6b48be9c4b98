use alloc::vec::Vec;

use symbolon_envelope::{Change, PayloadId, Record, RecordId, Records, Upload, UserKeyRow, UserKeyStore};
use symbolon_keys::Id;

use super::AnyStore;
#[cfg(feature = "postgres")]
use crate::PostgresUpload;
#[cfg(feature = "sqlite")]
use crate::SqliteUpload;
use crate::StoreError;

/// A payload on its way into a store. Dropped before it was put, it leaves nothing behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyUpload {
    /// Into pieces in the database.
    #[cfg(feature = "postgres")]
    Postgres(PostgresUpload),
    /// Into a file.
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteUpload),
}

impl Upload for AnyUpload {
    type Error = StoreError;

    async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(upload) => upload.write(bytes).await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(upload) => upload.write(bytes).await,
        }
    }
}

impl Records for AnyStore {
    type Error = StoreError;
    type Upload = AnyUpload;

    async fn upload(&self, id: PayloadId) -> Result<AnyUpload, StoreError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Ok(AnyUpload::Postgres(Records::upload(store, id).await?)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Ok(AnyUpload::Sqlite(Records::upload(store, id).await?)),
        }
    }

    async fn put(
        &self,
        record: Record,
        payload: AnyUpload,
        replaces: Option<u64>,
    ) -> Result<Change, StoreError> {
        match (self, payload) {
            #[cfg(feature = "postgres")]
            (Self::Postgres(store), AnyUpload::Postgres(payload)) => {
                Records::put(store, record, payload, replaces).await
            }
            #[cfg(feature = "sqlite")]
            (Self::Sqlite(store), AnyUpload::Sqlite(payload)) => {
                Records::put(store, record, payload, replaces).await
            }
            #[cfg(all(feature = "postgres", feature = "sqlite"))]
            _ => Err(StoreError::Io("the upload was begun in another store".into())),
        }
    }

    async fn get(&self, id: RecordId) -> Result<Option<Record>, StoreError> {
        on!(self, Records::get, id)
    }

    async fn read(&self, payload: PayloadId, offset: u64, max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        on!(self, Records::read, payload, offset, max)
    }

    async fn replace_header(
        &self,
        id: RecordId,
        payload: PayloadId,
        expected: u64,
        header: Vec<u8>,
        server_key: u32,
    ) -> Result<Change, StoreError> {
        on!(self, Records::replace_header, id, payload, expected, header, server_key)
    }

    async fn require(&self, server_key: u32) -> Result<(), StoreError> {
        on!(self, Records::require, server_key)
    }

    async fn delete(&self, id: RecordId, owner: Id) -> Result<bool, StoreError> {
        on!(self, Records::delete, id, owner)
    }

    async fn owned_by(
        &self,
        owner: Id,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        on!(self, Records::owned_by, owner, after, limit)
    }

    async fn below(
        &self,
        version: u32,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        on!(self, Records::below, version, after, limit)
    }

    async fn grant(&self, id: RecordId, owner: Id, user: Id) -> Result<bool, StoreError> {
        on!(self, Records::grant, id, owner, user)
    }

    async fn revoke(&self, id: RecordId, owner: Id, user: Id) -> Result<bool, StoreError> {
        on!(self, Records::revoke, id, owner, user)
    }

    async fn granted(&self, id: RecordId, user: Id) -> Result<bool, StoreError> {
        on!(self, Records::granted, id, user)
    }

    async fn grantees(&self, id: RecordId) -> Result<Vec<Id>, StoreError> {
        on!(self, Records::grantees, id)
    }

    async fn granted_to(
        &self,
        user: Id,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<RecordId>, StoreError> {
        on!(self, Records::granted_to, user, after, limit)
    }
}

impl UserKeyStore for AnyStore {
    type Error = StoreError;

    async fn put(&self, row: UserKeyRow, replaces: Option<u64>) -> Result<Change, StoreError> {
        on!(self, UserKeyStore::put, row, replaces)
    }

    async fn require(&self, server_key: u32) -> Result<(), StoreError> {
        on!(self, UserKeyStore::require, server_key)
    }

    async fn get(&self, user: Id) -> Result<Option<UserKeyRow>, StoreError> {
        on!(self, UserKeyStore::get, user)
    }

    async fn delete(&self, user: Id) -> Result<bool, StoreError> {
        on!(self, UserKeyStore::delete, user)
    }

    async fn below(
        &self,
        version: u32,
        after: Option<Id>,
        limit: usize,
    ) -> Result<Vec<UserKeyRow>, StoreError> {
        on!(self, UserKeyStore::below, version, after, limit)
    }
}
