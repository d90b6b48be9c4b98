use core::time::Duration;

use symbolon_agreement::{ProfileDigest, ProfileStore};
use symbolon_keys::{Id, UnixTime};

use super::AnyStore;
use crate::StoreError;

impl ProfileStore for AnyStore {
    type Error = StoreError;

    async fn put(&self, id: &Id, digest: &ProfileDigest) -> Result<(), StoreError> {
        on!(self, ProfileStore::put, id, digest)
    }

    async fn get(&self, id: &Id) -> Result<Option<ProfileDigest>, StoreError> {
        on!(self, ProfileStore::get, id)
    }

    async fn count_attempt(
        &self,
        id: &Id,
        now: UnixTime,
        window: Duration,
    ) -> Result<Option<u32>, StoreError> {
        on!(self, ProfileStore::count_attempt, id, now, window)
    }

    async fn clear_attempts(&self, id: &Id) -> Result<(), StoreError> {
        on!(self, ProfileStore::clear_attempts, id)
    }
}
