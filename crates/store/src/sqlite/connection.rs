use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};

use super::options::Options;
use crate::StoreError;

/// How long another program may hold the database before we say [`StoreError::Busy`].
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements kept prepared: more than all domains together have.
const STATEMENTS: usize = 256;
/// Page cache of one connection, in KiB (negative by SQLite's convention).
const CACHE_KIB: i32 = -16 * 1024;

/// Opens an existing database for writing, by one connection at a time.
pub(super) fn open_writer(path: &Path, options: &Options) -> Result<Connection, rusqlite::Error> {
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // WAL with FULL syncs the log at every commit: what COMMIT acknowledged survives a power cut.
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted is overwritten.
    db.pragma_update(None, "secure_delete", true)?;
    // The upkeep thread moves the log into the database, off the path of commits.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    if let Some(bytes) = options.max_size {
        let page: u64 = db.pragma_query_value(None, "page_size", |row| row.get(0))?;
        db.pragma_update(None, "max_page_count", bytes.checked_div(page).unwrap_or_default().max(1))?;
    }
    Ok(db)
}

/// Moves the log into the database. So many commits the file has without it then, or more, if all of it was moved.
pub(super) fn checkpoint(db: &Connection, mode: CheckpointMode) -> Result<Option<u64>, rusqlite::Error> {
    // Counted before: what comes meanwhile may stay in the log.
    let commits = db.query_row("SELECT commits FROM store", [], |row| row.get(0))?;
    let (frames, moved) = db.wal_checkpoint_v2(Some(MAIN_DB), mode)?;
    Ok((frames == moved).then_some(commits))
}

/// Opens an existing database for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// Opens the file as if there were no log beside it.
pub(super) fn open_alone(path: &Path) -> Result<Connection, rusqlite::Error> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        uri.push_str(&format!("%{byte:02x}"));
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
}

fn open(path: &Path, mode: OpenFlags) -> Result<Connection, rusqlite::Error> {
    // No mutex: a connection stays with its thread. No URI: a path is a path. Never CREATE.
    let db = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.pragma_update(None, "foreign_keys", true)?;
    // A file from elsewhere must not run functions through its schema.
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "cell_size_check", true)?;
    // What a job undoes is kept in memory, not in a temporary file.
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "cache_size", CACHE_KIB)?;
    Ok(db)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error.to_string()),
            Some(_) => Self::Io(error.to_string()),
            None if matches!(error, rusqlite::Error::ToSqlConversionFailure(_)) => Self::TooLarge,
            // A value that is not of the type, length or range that we wrote.
            None => Self::Corrupt(error.to_string()),
        }
    }
}

/// After such a failure the connection itself is in doubt and is opened anew.
pub(super) const fn is_grave(error: &StoreError) -> bool {
    matches!(error, StoreError::Io(_) | StoreError::Corrupt(_) | StoreError::Unknown | StoreError::ReadOnly)
}
