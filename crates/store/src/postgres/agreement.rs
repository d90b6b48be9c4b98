//! Profiles (`schema/postgres/agreement.sql`).

use alloc::format;
use core::time::Duration;

use symbolon_agreement::{Attempts, ProfileDigest, ProfileStore};
use symbolon_keys::{Id, UnixTime};

use super::Postgres;
use super::lane::Lock;
use super::sql::{Columns, time};
use crate::StoreError;

impl ProfileStore for Postgres {
    type Error = StoreError;

    async fn put(&self, id: &Id, digest: &ProfileDigest) -> Result<(), StoreError> {
        let (id, digest) = (*id, *digest.as_bytes());
        self.write(lock(&id), move |db| async move {
            let sql = "INSERT INTO profiles (id, digest, attempts, attempts_since) VALUES ($1, $2, 0, 0)
                       ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, attempts = 0, attempts_since = 0";
            db.execute(sql, &[&id.as_str(), &digest.as_slice()]).await.map(drop)
        })
        .await
    }

    async fn get(&self, id: &Id) -> Result<Option<ProfileDigest>, StoreError> {
        let id = *id;
        self.read(move |db| async move {
            let sql = "SELECT digest FROM profiles WHERE id = $1";
            db.first(sql, &[&id.as_str()], |c| Ok(ProfileDigest::from(c.array()?))).await
        })
        .await
    }

    async fn count_attempt(
        &self,
        id: &Id,
        now: UnixTime,
        window: Duration,
    ) -> Result<Option<u32>, StoreError> {
        let id = *id;
        self.write(lock(&id), move |db| async move {
            let sql = "SELECT attempts, attempts_since FROM profiles WHERE id = $1 FOR UPDATE";
            let read = |c: &mut Columns<'_>| Ok(Attempts { count: c.number()?, since: c.time()? });
            let found = db.first(sql, &[&id.as_str()], read).await?;
            let Some(attempts) = found.map(|attempts| attempts.next(now, window)) else { return Ok(None) };
            let sql = "UPDATE profiles SET attempts = $2, attempts_since = $3 WHERE id = $1";
            db.execute(sql, &[&id.as_str(), &i64::from(attempts.count), &time(attempts.since)]).await?;
            Ok(Some(attempts.count))
        })
        .await
    }

    async fn clear_attempts(&self, id: &Id) -> Result<(), StoreError> {
        let id = *id;
        self.write(lock(&id), move |db| async move {
            let sql = "UPDATE profiles SET attempts = 0, attempts_since = 0 WHERE id = $1 AND attempts > 0";
            db.execute(sql, &[&id.as_str()]).await.map(drop)
        })
        .await
    }
}

fn lock(id: &Id) -> Lock {
    Lock::Name(format!("profile {}", id.as_str()))
}
