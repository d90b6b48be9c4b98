use alloc::vec::Vec;

use symbolon_envelope::{Change, PayloadId, Record, RecordId, Records, Upload, UserKeyRow, UserKeyStore};
use symbolon_keys::Id;

use super::{Faulty, FaultyError, Injected};

/// A payload on its way into a faulty store.
#[derive(Debug)]
pub struct FaultyUpload<U> {
    upload: U,
    /// The next write is torn: half of its bytes go in, then it fails.
    torn: bool,
}

impl<U: Upload> Upload for FaultyUpload<U> {
    type Error = FaultyError<U::Error>;

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        if self.torn {
            let (half, _) = bytes.split_at(bytes.len() / 2);
            self.upload.write(half).await.map_err(FaultyError::Store)?;
            return Err(Injected { unknown: false }.into());
        }
        self.upload.write(bytes).await.map_err(FaultyError::Store)
    }
}

impl<S: Records> Records for Faulty<S> {
    type Error = FaultyError<S::Error>;
    type Upload = FaultyUpload<S::Upload>;

    async fn upload(&self, id: PayloadId) -> Result<Self::Upload, Self::Error> {
        // An upload that is to fail does so in its first write.
        let torn = self.begin("upload", true).await.is_err();
        let upload = self.inner().upload(id).await.map_err(FaultyError::Store)?;
        Ok(FaultyUpload { upload, torn })
    }

    async fn put(
        &self,
        record: Record,
        payload: Self::Upload,
        replaces: Option<u64>,
    ) -> Result<Change, Self::Error> {
        let begun = self.begin("put", true).await?;
        begun.end(self.inner().put(record, payload.upload, replaces).await.map_err(FaultyError::Store))
    }

    async fn get(&self, id: RecordId) -> Result<Option<Record>, Self::Error> {
        let begun = self.begin("get", false).await?;
        begun.end(self.inner().get(id).await.map_err(FaultyError::Store))
    }

    async fn read(
        &self,
        payload: PayloadId,
        offset: u64,
        max: usize,
    ) -> Result<Option<Vec<u8>>, Self::Error> {
        let begun = self.begin("read", false).await?;
        begun.end(self.inner().read(payload, offset, max).await.map_err(FaultyError::Store))
    }

    async fn replace_header(
        &self,
        id: RecordId,
        payload: PayloadId,
        expected: u64,
        header: Vec<u8>,
        server_key: u32,
    ) -> Result<Change, Self::Error> {
        let begun = self.begin("replace_header", true).await?;
        begun.end(
            self.inner()
                .replace_header(id, payload, expected, header, server_key)
                .await
                .map_err(FaultyError::Store),
        )
    }

    async fn require(&self, server_key: u32) -> Result<(), Self::Error> {
        let begun = self.begin("require", true).await?;
        begun.end(Records::require(&*self.inner(), server_key).await.map_err(FaultyError::Store))
    }

    async fn delete(&self, id: RecordId, owner: Id) -> Result<bool, Self::Error> {
        let begun = self.begin("delete", true).await?;
        begun.end(self.inner().delete(id, owner).await.map_err(FaultyError::Store))
    }

    async fn owned_by(
        &self,
        owner: Id,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<Record>, Self::Error> {
        let begun = self.begin("owned_by", false).await?;
        begun.end(self.inner().owned_by(owner, after, limit).await.map_err(FaultyError::Store))
    }

    async fn below(
        &self,
        version: u32,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<Record>, Self::Error> {
        let begun = self.begin("below", false).await?;
        begun.end(self.inner().below(version, after, limit).await.map_err(FaultyError::Store))
    }

    async fn grant(&self, id: RecordId, owner: Id, user: Id) -> Result<bool, Self::Error> {
        let begun = self.begin("grant", true).await?;
        begun.end(self.inner().grant(id, owner, user).await.map_err(FaultyError::Store))
    }

    async fn revoke(&self, id: RecordId, owner: Id, user: Id) -> Result<bool, Self::Error> {
        let begun = self.begin("revoke", true).await?;
        begun.end(self.inner().revoke(id, owner, user).await.map_err(FaultyError::Store))
    }

    async fn granted(&self, id: RecordId, user: Id) -> Result<bool, Self::Error> {
        let begun = self.begin("granted", false).await?;
        begun.end(self.inner().granted(id, user).await.map_err(FaultyError::Store))
    }

    async fn grantees(&self, id: RecordId) -> Result<Vec<Id>, Self::Error> {
        let begun = self.begin("grantees", false).await?;
        begun.end(self.inner().grantees(id).await.map_err(FaultyError::Store))
    }

    async fn granted_to(
        &self,
        user: Id,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<RecordId>, Self::Error> {
        let begun = self.begin("granted_to", false).await?;
        begun.end(self.inner().granted_to(user, after, limit).await.map_err(FaultyError::Store))
    }
}

impl<S: UserKeyStore> UserKeyStore for Faulty<S> {
    type Error = FaultyError<S::Error>;

    async fn put(&self, row: UserKeyRow, replaces: Option<u64>) -> Result<Change, Self::Error> {
        let begun = self.begin("put", true).await?;
        begun.end(self.inner().put(row, replaces).await.map_err(FaultyError::Store))
    }

    async fn require(&self, server_key: u32) -> Result<(), Self::Error> {
        let begun = self.begin("require", true).await?;
        begun.end(UserKeyStore::require(&*self.inner(), server_key).await.map_err(FaultyError::Store))
    }

    async fn get(&self, user: Id) -> Result<Option<UserKeyRow>, Self::Error> {
        let begun = self.begin("get", false).await?;
        begun.end(self.inner().get(user).await.map_err(FaultyError::Store))
    }

    async fn delete(&self, user: Id) -> Result<bool, Self::Error> {
        let begun = self.begin("delete", true).await?;
        begun.end(self.inner().delete(user).await.map_err(FaultyError::Store))
    }

    async fn below(
        &self,
        version: u32,
        after: Option<Id>,
        limit: usize,
    ) -> Result<Vec<UserKeyRow>, Self::Error> {
        let begun = self.begin("below", false).await?;
        begun.end(self.inner().below(version, after, limit).await.map_err(FaultyError::Store))
    }
}
