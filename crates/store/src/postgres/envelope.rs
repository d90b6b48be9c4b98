//! Records and user keys (`schema/postgres/envelope.sql`).

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use symbolon_envelope::{Change, Payload, PayloadId, Record, RecordId, Records};
use symbolon_keys::Id;

use super::Postgres;
use super::attach::AttachmentId;
use super::lane::Lock;
use super::session::Session;
use super::sql::{Columns, count, number, time};
use crate::StoreError;

mod upload;
mod user_keys;

pub use upload::PostgresUpload;
use upload::{Body, BodyId};

type Result<T> = core::result::Result<T, StoreError>;

/// What a version of the server key is required for.
const RECORDS: &str = "records";
const USER_KEYS: &str = "user_keys";

macro_rules! select_record {
    ($rest:literal) => {
        concat!(
            "SELECT id, owner, sequence, server_key, header, payload, payload_len, payload_sha256, stored
             FROM records ",
            $rest
        )
    };
}

impl Records for Postgres {
    type Error = StoreError;
    type Upload = PostgresUpload;

    async fn upload(&self, _: PayloadId) -> Result<PostgresUpload> {
        Ok(PostgresUpload::new(self.clone()))
    }

    async fn put(&self, record: Record, payload: PostgresUpload, replaces: Option<u64>) -> Result<Change> {
        let mut upload = payload;
        let body = Arc::new(upload.finish().await?);
        let (us, lock) = (self.engine.shared().attachment, lock(record.id));
        let stored = self.write(lock, move |db| {
            let (record, body) = (record.clone(), body.clone());
            async move { put(&db, &record, &body, replaces, us).await }
        });
        // From here on the commit may name the body, whether or not anybody waits for the answer: what is not named is
        // removed only while it is marked as unfinished.
        let stored = stored.await;
        self.discard(match &stored {
            Ok((Change::Done, gone)) => *gone,
            Ok(_) | Err(_) => Some(upload.id()),
        });
        stored.map(|(change, _)| change)
    }

    async fn get(&self, id: RecordId) -> Result<Option<Record>> {
        self.read(move |db| async move {
            db.first(select_record!("WHERE id = $1"), &[&id.as_bytes().as_slice()], read_record).await
        })
        .await
    }

    async fn read(&self, payload: PayloadId, offset: u64, max: usize) -> Result<Option<Vec<u8>>> {
        self.read(move |db| async move { upload::read(&db, payload, offset, max).await }).await
    }

    async fn replace_header(
        &self,
        id: RecordId,
        payload: PayloadId,
        expected: u64,
        header: Vec<u8>,
        server_key: u32,
    ) -> Result<Change> {
        self.write(lock(id), move |db| {
            let header = header.clone();
            async move {
                if let Some(required) = outdated(&db, RECORDS, server_key).await? {
                    return Ok(Change::Outdated(required));
                }
                let sql = "UPDATE records SET header = $3, server_key = $4, sequence = sequence + 1
                           WHERE id = $1 AND sequence = $2 AND payload = $5";
                // A sequence that no row can have matches none.
                let expected = i64::try_from(expected).unwrap_or(-1);
                let (name, payload) = (id.as_bytes().as_slice(), payload.as_bytes().as_slice());
                let key = i64::from(server_key);
                match db.execute(sql, &[&name, &expected, &header, &key, &payload]).await? {
                    1 => Ok(Change::Done),
                    _ => Ok(Change::Conflict(found(&db, id).await?.map(|found| found.sequence))),
                }
            }
        })
        .await
    }

    async fn require(&self, server_key: u32) -> Result<()> {
        self.require_server_key(RECORDS, server_key).await
    }

    async fn delete(&self, id: RecordId, owner: Id) -> Result<bool> {
        let us = self.engine.shared().attachment;
        let gone = self.write(lock(id), move |db| async move {
            let sql = "DELETE FROM records WHERE id = $1 AND owner = $2 RETURNING payload";
            let row = (id.as_bytes().as_slice(), owner.as_str());
            match db.first(sql, &[&row.0, &row.1], |c| c.random()).await? {
                Some(payload) => forget_payload(&db, payload, us).await.map(|body| (true, body)),
                None => Ok((false, None)),
            }
        });
        let (was_there, gone) = gone.await?;
        self.discard(gone);
        Ok(was_there)
    }

    async fn owned_by(&self, owner: Id, after: Option<RecordId>, limit: usize) -> Result<Vec<Record>> {
        self.read(move |db| async move {
            let sql = select_record!("WHERE owner = $1 AND id > $2 ORDER BY id LIMIT $3");
            let after = beyond(after.as_ref());
            db.all(sql, &[&owner.as_str(), &after, &count(limit)], read_record).await
        })
        .await
    }

    async fn below(&self, version: u32, after: Option<RecordId>, limit: usize) -> Result<Vec<Record>> {
        self.read(move |db| async move {
            // Version by version, each in the order of its index: no sort of what a limit cuts off.
            let sql = "WITH RECURSIVE versions (key) AS (
                           SELECT min(server_key) FROM records WHERE server_key < $1
                           UNION ALL
                           SELECT (SELECT min(server_key) FROM records WHERE server_key > key AND server_key < $1)
                           FROM versions WHERE key IS NOT NULL)
                       SELECT r.* FROM versions, LATERAL (
                           SELECT id, owner, sequence, server_key, header, payload, payload_len, payload_sha256, stored
                           FROM records WHERE server_key = key AND id > $2 ORDER BY id LIMIT $3) AS r
                       ORDER BY r.id LIMIT $3";
            let after = beyond(after.as_ref());
            db.all(sql, &[&i64::from(version), &after, &count(limit)], read_record).await
        })
        .await
    }

    async fn grant(&self, id: RecordId, owner: Id, user: Id) -> Result<bool> {
        self.write(lock(id), move |db| async move {
            if found(&db, id).await?.is_none_or(|found| found.owner != owner) {
                return Ok(false);
            }
            let sql = "INSERT INTO grants (record, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            db.execute(sql, &[&id.as_bytes().as_slice(), &user.as_str()]).await?;
            Ok(true)
        })
        .await
    }

    async fn revoke(&self, id: RecordId, owner: Id, user: Id) -> Result<bool> {
        self.write(lock(id), move |db| async move {
            let sql = "DELETE FROM grants WHERE user_id = $3 AND record IN
                       (SELECT id FROM records WHERE id = $1 AND owner = $2)";
            let row = (id.as_bytes().as_slice(), owner.as_str(), user.as_str());
            Ok(db.execute(sql, &[&row.0, &row.1, &row.2]).await? == 1)
        })
        .await
    }

    async fn granted(&self, id: RecordId, user: Id) -> Result<bool> {
        self.read(move |db| async move {
            let sql = "SELECT 1 FROM grants WHERE record = $1 AND user_id = $2";
            let row = (id.as_bytes().as_slice(), user.as_str());
            Ok(db.first(sql, &[&row.0, &row.1], |_| Ok(())).await?.is_some())
        })
        .await
    }

    async fn grantees(&self, id: RecordId) -> Result<Vec<Id>> {
        self.read(move |db| async move {
            let sql = "SELECT user_id FROM grants WHERE record = $1 ORDER BY user_id";
            db.all(sql, &[&id.as_bytes().as_slice()], |c| c.id()).await
        })
        .await
    }

    async fn granted_to(&self, user: Id, after: Option<RecordId>, limit: usize) -> Result<Vec<RecordId>> {
        self.read(move |db| async move {
            let sql = "SELECT record FROM grants WHERE user_id = $1 AND record > $2 ORDER BY record LIMIT $3";
            let after = beyond(after.as_ref());
            db.all(sql, &[&user.as_str(), &after, &count(limit)], |c| c.random()).await
        })
        .await
    }
}

fn read_record(c: &mut Columns<'_>) -> Result<Record> {
    Ok(Record {
        id: c.random()?,
        owner: c.id()?,
        sequence: c.number()?,
        server_key: c.number()?,
        header: c.get()?,
        payload: Payload { id: c.random()?, len: c.number()?, digest: c.array()? },
        stored: c.time()?,
    })
}

/// Stores a record in the place of the one that must be there. The body of the payload that goes with it.
async fn put(
    db: &Session,
    record: &Record,
    body: &Body,
    replaces: Option<u64>,
    us: AttachmentId,
) -> Result<(Change, Option<BodyId>)> {
    let Record { id, owner, sequence, server_key, header, payload, stored } = record;
    if let Some(required) = outdated(db, RECORDS, *server_key).await? {
        return Ok((Change::Outdated(required), None));
    }
    let before = found(db, *id).await?;
    let there = before.as_ref().map(|found| found.sequence);
    let foreign = before.as_ref().is_some_and(|found| found.owner != *owner);
    if foreign || there != replaces {
        return Ok((Change::Conflict(there.filter(|_| !foreign)), None));
    }
    body.name(db, payload.id, us).await?;
    let sql = "INSERT INTO records VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
               ON CONFLICT (id) DO UPDATE SET sequence = $3, server_key = $4, header = $5, payload = $6,
               payload_len = $7, payload_sha256 = $8, stored = $9";
    let (id, owner, payload_id) =
        (id.as_bytes().as_slice(), owner.as_str(), payload.id.as_bytes().as_slice());
    let (sequence, server_key, len) = (number(*sequence)?, i64::from(*server_key), number(payload.len)?);
    let digest = payload.digest.as_slice();
    let row: &[super::sql::Param<'_>] =
        &[&id, &owner, &sequence, &server_key, header, &payload_id, &len, &digest, &time(*stored)];
    db.execute(sql, row).await?;
    match before {
        Some(before) => Ok((Change::Done, forget_payload(db, before.payload, us).await?)),
        None => Ok((Change::Done, None)),
    }
}

/// The required version of the server key, if `version` is older.
async fn outdated(db: &Session, of: &'static str, version: u32) -> Result<Option<u32>> {
    let sql = "SELECT version FROM required_server_keys WHERE of = $1 AND version > $2";
    db.first(sql, &[&of, &i64::from(version)], |c| c.number()).await
}

impl Postgres {
    /// Alone in the database: so that nothing asked before and stores after.
    async fn require_server_key(&self, of: &'static str, version: u32) -> Result<()> {
        self.write(Lock::All, move |db| async move {
            let sql = "INSERT INTO required_server_keys AS r VALUES ($1, $2)
                       ON CONFLICT (of) DO UPDATE SET version = greatest(r.version, excluded.version)";
            db.execute(sql, &[&of, &i64::from(version)]).await.map(drop)
        })
        .await
    }
}

/// Where a record is, and whose it is.
struct Found {
    sequence: u64,
    owner: Id,
    payload: PayloadId,
}

async fn found(db: &Session, id: RecordId) -> Result<Option<Found>> {
    let sql = "SELECT sequence, owner, payload FROM records WHERE id = $1 FOR UPDATE";
    db.first(sql, &[&id.as_bytes().as_slice()], |c| {
        Ok(Found { sequence: c.number()?, owner: c.id()?, payload: c.random()? })
    })
    .await
}

/// Takes the name from a payload: nobody finds it any more. Its body, which is removed after the commit.
async fn forget_payload(db: &Session, id: PayloadId, us: AttachmentId) -> Result<Option<BodyId>> {
    let sql = "UPDATE payloads SET id = NULL, unfinished_of = $2 WHERE id = $1 RETURNING body";
    let row = (id.as_bytes().as_slice(), us.as_bytes().as_slice());
    db.first(sql, &[&row.0, &row.1], |c| c.random()).await
}

/// For `id > $n`: the empty bytes sort before every id.
fn beyond(after: Option<&RecordId>) -> &[u8] {
    after.map_or(&[], |id| id.as_bytes())
}

fn lock(id: RecordId) -> Lock {
    Lock::Name(format!("record {id}"))
}
