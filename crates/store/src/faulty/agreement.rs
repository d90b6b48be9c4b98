use core::time::Duration;

use symbolon_agreement::{ProfileDigest, ProfileStore};
use symbolon_keys::{Id, UnixTime};

use super::{Faulty, FaultyError};

impl<S: ProfileStore> ProfileStore for Faulty<S> {
    type Error = FaultyError<S::Error>;

    async fn put(&self, id: &Id, digest: &ProfileDigest) -> Result<(), Self::Error> {
        let begun = self.begin("put", true).await?;
        begun.end(self.inner().put(id, digest).await.map_err(FaultyError::Store))
    }

    async fn get(&self, id: &Id) -> Result<Option<ProfileDigest>, Self::Error> {
        let begun = self.begin("get", false).await?;
        begun.end(self.inner().get(id).await.map_err(FaultyError::Store))
    }

    async fn count_attempt(
        &self,
        id: &Id,
        now: UnixTime,
        window: Duration,
    ) -> Result<Option<u32>, Self::Error> {
        let begun = self.begin("count_attempt", true).await?;
        begun.end(self.inner().count_attempt(id, now, window).await.map_err(FaultyError::Store))
    }

    async fn clear_attempts(&self, id: &Id) -> Result<(), Self::Error> {
        let begun = self.begin("clear_attempts", true).await?;
        begun.end(self.inner().clear_attempts(id).await.map_err(FaultyError::Store))
    }
}
