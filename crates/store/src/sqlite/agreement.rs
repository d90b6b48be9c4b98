//! Profiles (`schema/sqlite/agreement.sql`).

use core::time::Duration;

use rusqlite::params;
use symbolon_agreement::{Attempts, ProfileDigest, ProfileStore};
use symbolon_keys::{Id, UnixTime};

use super::Sqlite;
use super::sql::{execute, first, time};
use crate::StoreError;

impl ProfileStore for Sqlite {
    type Error = StoreError;

    async fn put(&self, id: &Id, digest: &ProfileDigest) -> Result<(), StoreError> {
        let (id, digest) = (*id, *digest.as_bytes());
        self.write(move |db| {
            let sql = "INSERT OR REPLACE INTO profiles (id, digest, attempts, attempts_since) VALUES (?1, ?2, 0, 0)";
            execute(db, sql, params![id.as_str(), digest]).map(drop)
        })
        .await
    }

    async fn get(&self, id: &Id) -> Result<Option<ProfileDigest>, StoreError> {
        let id = *id;
        self.read(move |db| {
            let sql = "SELECT digest FROM profiles WHERE id = ?1";
            first(db, sql, [id.as_str()], |c| Ok(ProfileDigest::from(c.get::<[u8; 32]>()?)))
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
        self.write(move |db| {
            let sql = "SELECT attempts, attempts_since FROM profiles WHERE id = ?1";
            let found =
                first(db, sql, [id.as_str()], |c| Ok(Attempts { count: c.get()?, since: c.time()? }))?;
            let Some(attempts) = found.map(|attempts| attempts.next(now, window)) else { return Ok(None) };
            let sql = "UPDATE profiles SET attempts = ?2, attempts_since = ?3 WHERE id = ?1";
            execute(db, sql, params![id.as_str(), attempts.count, time(attempts.since)])?;
            Ok(Some(attempts.count))
        })
        .await
    }

    async fn clear_attempts(&self, id: &Id) -> Result<(), StoreError> {
        let id = *id;
        self.write(move |db| {
            let sql = "UPDATE profiles SET attempts = 0, attempts_since = 0 WHERE id = ?1 AND attempts > 0";
            execute(db, sql, [id.as_str()]).map(drop)
        })
        .await
    }
}
