//! Records and user keys (`schema/sqlite/envelope.sql`).

use alloc::vec::Vec;
use std::path::Path;

use rusqlite::{Connection, params};
use symbolon_envelope::{Change, Payload, PayloadId, Record, RecordId, Records};
use symbolon_keys::Id;

use super::Sqlite;
use super::sql::{Columns, all, bound, corrupt, count, execute, first, time};
use crate::StoreError;

mod upload;
mod user_keys;

use upload::FileName;
pub use upload::SqliteUpload;
pub(super) use upload::{check_named, copy_named, sweep, sweep_all};

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
impl Records for Sqlite {
    type Error = StoreError;
    type Upload = SqliteUpload;

    async fn upload(&self, _: PayloadId) -> Result<SqliteUpload> {
        Ok(SqliteUpload::new(self.clone()))
    }

    async fn put(&self, record: Record, payload: SqliteUpload, replaces: Option<u64>) -> Result<Change> {
        let mut upload = payload;
        upload.finish().await?;
        let (bytes, file) = upload.take();
        // From here on the commit may name the file, whether or not anybody waits for the answer. If it does not, the
        // note of the file still stands.
        upload.keep(true);
        let stored = self.write(move |db| put(db, &record, bytes.as_deref(), file, replaces));
        let stored = stored.await;
        let certain = |error: &StoreError| *error != StoreError::Unknown;
        if stored.as_ref().map_or_else(certain, |(change, _)| *change != Change::Done) {
            upload.keep(false);
        }
        let (change, gone) = stored?;
        self.discard(gone).await;
        Ok(change)
    }

    async fn get(&self, id: RecordId) -> Result<Option<Record>> {
        self.read(move |db| first(db, select_record!("WHERE id = ?1"), [id.as_bytes()], read_record)).await
    }

    async fn read(&self, payload: PayloadId, offset: u64, max: usize) -> Result<Option<Vec<u8>>> {
        let path = self.engine.path().to_path_buf();
        match self.read(move |db| read(db, &path, payload, offset, max)).await? {
            Read::Bytes(bytes) => Ok(Some(bytes)),
            Read::Nothing => Ok(None),
            // Removed between the look into the table and the look into the folder, or lost.
            Read::NoFile if self.read(move |db| is_stored(db, payload)).await? => {
                Err(corrupt("a payload's file"))
            }
            Read::NoFile => Ok(None),
        }
    }

    async fn replace_header(
        &self,
        id: RecordId,
        payload: PayloadId,
        expected: u64,
        header: Vec<u8>,
        server_key: u32,
    ) -> Result<Change> {
        self.write(move |db| {
            if let Some(required) = outdated(db, RECORDS, server_key)? {
                return Ok(Change::Outdated(required));
            }
            let sql = "UPDATE records SET header = ?3, server_key = ?4, sequence = sequence + 1
                       WHERE id = ?1 AND sequence = ?2 AND payload = ?5";
            // A sequence that no row can have matches none.
            let expected = i64::try_from(expected).unwrap_or(-1);
            let row = params![id.as_bytes(), expected, header, server_key, payload.as_bytes()];
            match execute(db, sql, row)? {
                1 => Ok(Change::Done),
                _ => Ok(Change::Conflict(found(db, id)?.map(|(sequence, _)| sequence))),
            }
        })
        .await
    }

    async fn require(&self, server_key: u32) -> Result<()> {
        self.write(move |db| require(db, RECORDS, server_key)).await
    }

    async fn delete(&self, id: RecordId, owner: Id) -> Result<bool> {
        let gone = self.write(move |db| {
            let sql = "DELETE FROM records WHERE id = ?1 AND owner = ?2 RETURNING payload";
            let payload = first(db, sql, params![id.as_bytes(), owner.as_str()], |c| c.random())?;
            payload.map(|payload| forget_payload(db, payload)).transpose()
        });
        let gone = gone.await?;
        self.discard(gone.flatten()).await;
        Ok(gone.is_some())
    }

    async fn owned_by(&self, owner: Id, after: Option<RecordId>, limit: usize) -> Result<Vec<Record>> {
        self.read(move |db| {
            let sql = select_record!("WHERE owner = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
            all(db, sql, params![owner.as_str(), beyond(after.as_ref()), count(limit)], read_record)
        })
        .await
    }

    async fn below(&self, version: u32, after: Option<RecordId>, limit: usize) -> Result<Vec<Record>> {
        self.read(move |db| {
            let mut found = Vec::new();
            // Version by version, each in the order of its index: no sort of what a limit cuts off.
            let next = "SELECT min(server_key) FROM records WHERE server_key >= ?1 AND server_key < ?2";
            let of = select_record!("WHERE server_key = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
            let mut from = 0;
            while let Some(key) = first(db, next, [from, version], |c| c.get::<Option<u32>>())?.flatten() {
                found.extend(all(db, of, params![key, beyond(after.as_ref()), count(limit)], read_record)?);
                from = key.saturating_add(1);
            }
            found.sort_unstable_by_key(|record: &Record| record.id);
            found.truncate(limit);
            Ok(found)
        })
        .await
    }

    async fn grant(&self, id: RecordId, owner: Id, user: Id) -> Result<bool> {
        self.write(move |db| {
            if found(db, id)?.is_none_or(|(_, found)| found != owner) {
                return Ok(false);
            }
            let sql = "INSERT INTO grants (record, user) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            execute(db, sql, params![id.as_bytes(), user.as_str()])?;
            Ok(true)
        })
        .await
    }

    async fn revoke(&self, id: RecordId, owner: Id, user: Id) -> Result<bool> {
        self.write(move |db| {
            let sql = "DELETE FROM grants WHERE user = ?3 AND record IN
                       (SELECT id FROM records WHERE id = ?1 AND owner = ?2)";
            Ok(execute(db, sql, params![id.as_bytes(), owner.as_str(), user.as_str()])? == 1)
        })
        .await
    }

    async fn granted(&self, id: RecordId, user: Id) -> Result<bool> {
        self.read(move |db| {
            let sql = "SELECT 1 FROM grants WHERE record = ?1 AND user = ?2";
            Ok(first(db, sql, params![id.as_bytes(), user.as_str()], |_| Ok(()))?.is_some())
        })
        .await
    }

    async fn grantees(&self, id: RecordId) -> Result<Vec<Id>> {
        self.read(move |db| {
            all(db, "SELECT user FROM grants WHERE record = ?1 ORDER BY user", [id.as_bytes()], |c| c.id())
        })
        .await
    }

    async fn granted_to(&self, user: Id, after: Option<RecordId>, limit: usize) -> Result<Vec<RecordId>> {
        self.read(move |db| {
            let sql = "SELECT record FROM grants WHERE user = ?1 AND record > ?2 ORDER BY record LIMIT ?3";
            all(db, sql, params![user.as_str(), beyond(after.as_ref()), count(limit)], |c| c.random())
        })
        .await
    }
}

fn read_record(c: &mut Columns<'_, '_>) -> Result<Record> {
    Ok(Record {
        id: c.random()?,
        owner: c.id()?,
        sequence: c.get()?,
        server_key: c.get()?,
        header: c.get()?,
        payload: Payload { id: c.random()?, len: c.get()?, digest: c.get()? },
        stored: c.time()?,
    })
}

/// Stores a record in the place of the one that must be there. The file of the payload that goes with it.
fn put(
    db: &Connection,
    record: &Record,
    bytes: Option<&[u8]>,
    file: Option<FileName>,
    replaces: Option<u64>,
) -> Result<(Change, Option<FileName>)> {
    let Record { id, owner, sequence: number, server_key, header, payload, stored } = record;
    if let Some(required) = outdated(db, RECORDS, *server_key)? {
        return Ok((Change::Outdated(required), None));
    }
    let found = found(db, *id)?;
    let sequence = found.map(|(sequence, _)| sequence);
    let foreign = found.is_some_and(|(_, found)| found != *owner);
    if foreign || sequence != replaces {
        return Ok((Change::Conflict(sequence.filter(|_| !foreign)), None));
    }
    let sql = "INSERT INTO payloads (id, bytes, file) VALUES (?1, ?2, ?3)";
    let file = file.as_ref().map(FileName::as_bytes);
    execute(db, sql, params![payload.id.as_bytes(), bytes, file])?;
    execute(db, "DELETE FROM discarded_files WHERE file = ?1", [file])?;
    let old = first(db, "SELECT payload FROM records WHERE id = ?1", [id.as_bytes()], |c| c.random())?;
    let sql = "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               ON CONFLICT (id) DO UPDATE SET sequence = ?3, server_key = ?4, header = ?5, payload = ?6,
               payload_len = ?7, payload_sha256 = ?8, stored = ?9";
    let row = params![
        id.as_bytes(),
        owner.as_str(),
        number,
        server_key,
        header,
        payload.id.as_bytes(),
        payload.len,
        payload.digest,
        time(*stored)
    ];
    execute(db, sql, row)?;
    let gone = old.map(|old| forget_payload(db, old)).transpose()?;
    Ok((Change::Done, gone.flatten()))
}

/// The required version of the server key, if `version` is older.
fn outdated(db: &Connection, of: &str, version: u32) -> Result<Option<u32>> {
    let sql = "SELECT version FROM required_server_keys WHERE of = ?1 AND version > ?2";
    first(db, sql, params![of, version], |c| c.get())
}

fn require(db: &Connection, of: &str, version: u32) -> Result<()> {
    let sql = "INSERT INTO required_server_keys VALUES (?1, ?2)
               ON CONFLICT (of) DO UPDATE SET version = max(version, excluded.version)";
    execute(db, sql, params![of, version]).map(drop)
}

/// Where a record is, and whose it is.
fn found(db: &Connection, id: RecordId) -> Result<Option<(u64, Id)>> {
    first(db, "SELECT sequence, owner FROM records WHERE id = ?1", [id.as_bytes()], |c| {
        Ok((c.get()?, c.id()?))
    })
}

/// Removes a payload's row. Its file, if it has one, is noted, and removed after the commit.
fn forget_payload(db: &Connection, id: PayloadId) -> Result<Option<FileName>> {
    let sql = "DELETE FROM payloads WHERE id = ?1 RETURNING file";
    let file = first(db, sql, [id.as_bytes()], |c| c.random_option::<FileName>())?.flatten();
    if let Some(file) = &file {
        execute(db, "INSERT INTO discarded_files (file) VALUES (?1)", [file.as_bytes()])?;
    }
    Ok(file)
}

/// What became of a read of a payload.
enum Read {
    Bytes(Vec<u8>),
    Nothing,
    NoFile,
}

fn read(db: &Connection, database: &Path, payload: PayloadId, offset: u64, max: usize) -> Result<Read> {
    let sql = "SELECT file, substr(bytes, ?2, ?3) FROM payloads WHERE id = ?1";
    // The first byte of a blob is number 1.
    let from = bound(offset).saturating_add(1);
    let found = first(db, sql, params![payload.as_bytes(), from, count(max)], |c| {
        Ok((c.random_option()?, c.get::<Option<Vec<u8>>>()?))
    })?;
    Ok(match found {
        None => Read::Nothing,
        Some((None, bytes)) => Read::Bytes(bytes.unwrap_or_default()),
        Some((Some(file), _)) => upload::read(database, file, offset, max)?.map_or(Read::NoFile, Read::Bytes),
    })
}

fn is_stored(db: &Connection, payload: PayloadId) -> Result<bool> {
    Ok(first(db, "SELECT 1 FROM payloads WHERE id = ?1", [payload.as_bytes()], |_| Ok(()))?.is_some())
}

/// For `id > ?`: the empty blob sorts before every id.
fn beyond(after: Option<&RecordId>) -> &[u8] {
    after.map_or(&[], |id| id.as_bytes())
}
