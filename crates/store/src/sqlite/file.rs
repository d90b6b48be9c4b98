//! Creating, attaching and restoring the file itself: blocking, and done once.

use alloc::string::String;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use symbolon_keys::OsRng;

use super::beside;
use super::connection::{checkpoint, open_alone, open_writer};
use super::guard::{Guard, InstanceId, Record};
use super::options::Options;
use super::schema;
use crate::{AttachError, Restored, StoreError};

/// What SQLite keeps beside a database, and what we do.
pub(super) const BESIDE: [&str; 6] = ["", "-wal", "-shm", "-journal", "-guard", "-files"];
/// SQLite's header: magic, and `application_id` at its place (<https://sqlite.org/fileformat.html>, 1.3).
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
const APPLICATION_ID_AT: usize = 68;

/// How a start treats the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Provision,
    Attach,
    AfterRestore,
}

/// A database attached by this process alone.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) db: Connection,
    pub(super) guard: Guard,
}

pub(super) fn open(path: &Path, how: Start, options: &Options) -> Result<Opened, AttachError> {
    match how {
        Start::Provision => {
            provision(path)?;
            attach(path, options)
        }
        Start::Attach => attach(path, options),
        Start::AfterRestore => attach_after_restore(path, options),
    }
}

/// Makes a new database under a temporary name and gives it its own only when it is whole and on the disk.
fn provision(path: &Path) -> Result<(), AttachError> {
    // A log left there would be taken for the new database's.
    vacant(path, &BESIDE)?;
    let instance = InstanceId::generate(&mut OsRng);
    let temporary = Temporary::create(beside(path, &alloc::format!("-new-{instance}")))?;
    schema::create(&temporary.0, instance).map_err(StoreError::from)?;
    sync(&temporary.0)?;
    temporary.publish(path)?;
    let record = Record::new(instance, 0, path)?;
    Guard::lock(path, true)?.replace(record)?;
    Ok(sync(parent(path))?)
}

/// Is there nothing yet of the names that begin with `path`?
pub(super) fn vacant(path: &Path, suffixes: &[&str]) -> Result<(), AttachError> {
    let mut paths = suffixes.iter().map(|suffix| beside(path, suffix));
    match paths.find(|path| fs::symlink_metadata(path).is_ok()) {
        Some(path) => Err(AttachError::Exists { path }),
        None => Ok(()),
    }
}

fn attach(path: &Path, options: &Options) -> Result<Opened, AttachError> {
    let path = find(path)?;
    let mut guard = Guard::lock(&path, false)?;
    if application_id(&path)? == schema::BACKUP_ID {
        return Err(AttachError::RestoreRequired(Restored::Backup));
    }
    if has_log(&path) {
        let known = guard.record().ok_or(AttachError::RestoreRequired(Restored::NoGuard))?;
        // What cannot be read without its log is a page that was being moved when the power went.
        alone(&path)
            .map_or(Ok(()), |found| known.admits_log(&found))
            .map_err(AttachError::RestoreRequired)?;
    }
    let db = open_whole(&path, options)?;
    schema::check_version(&db)?;
    let found = record(&db, &path)?;
    let record = guard.record().ok_or(AttachError::RestoreRequired(Restored::NoGuard))?;
    record.admits(&found).map_err(AttachError::RestoreRequired)?;
    // What the last process noted was not synced; from here on nothing older than what was found is admitted.
    guard.replace(found)?;
    #[cfg(feature = "envelope")]
    super::envelope::sweep(&db, &path)?;
    Ok(Opened { path, db, guard })
}

/// Takes a copy into use: under a new name of its own, with everything that a copy might repeat marked.
fn attach_after_restore(path: &Path, options: &Options) -> Result<Opened, AttachError> {
    let path = find(path)?;
    let mut guard = Guard::lock(&path, true)?;
    let backup = application_id(&path)? == schema::BACKUP_ID;
    own_log(&path, &guard, backup)?;
    let mut db = open_whole(&path, options)?;
    schema::check_version(&db)?;
    // Without a log, which no guard would admit if this were cut short.
    db.pragma_update(None, "journal_mode", "DELETE").map_err(StoreError::from)?;
    let instance = InstanceId::generate(&mut OsRng);
    let tx = Transaction::new(&mut db, TransactionBehavior::Immediate).map_err(StoreError::from)?;
    schema::mark_restored(&tx, instance).map_err(StoreError::from)?;
    tx.commit().map_err(StoreError::from)?;
    db.pragma_update(None, "journal_mode", "WAL").map_err(StoreError::from)?;
    #[cfg(feature = "envelope")]
    super::envelope::sweep_all(&db, &path)?;
    guard.replace(record(&db, &path)?)?;
    sync(parent(&path))?;
    Ok(Opened { path, db, guard })
}

/// Brings the schema of a database that nobody uses to the present version. A copy remains a copy.
pub(super) fn upgrade(path: &Path) -> Result<(), AttachError> {
    let path = find(path)?;
    let guard = Guard::lock(&path, true)?;
    let backup = application_id(&path)? == schema::BACKUP_ID;
    own_log(&path, &guard, backup)?;
    let mut db = open_whole(&path, &Options::default())?;
    schema::upgrade(&mut db)
}

/// Refuses a log that may belong to another database or to a newer state of this one: it would be played into it.
fn own_log(path: &Path, guard: &Guard, backup: bool) -> Result<(), AttachError> {
    let admitted = || {
        let known = guard.record().filter(|_| !backup);
        known.zip(alone(path)).is_some_and(|(known, alone)| known.admits_log(&alone).is_ok())
    };
    if has_log(path) && !admitted() {
        return Err(AttachError::Exists { path: beside(path, "-wal") });
    }
    Ok(())
}

fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// What the file says of itself without its log, if that can be read.
fn alone(path: &Path) -> Option<Record> {
    record(&open_alone(path).ok()?, path).ok()
}

/// The file itself, whatever links lead to it: the guard lies beside the file.
fn find(path: &Path) -> Result<PathBuf, AttachError> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(AttachError::Missing { path: path.to_path_buf() });
        }
        Err(error) => return Err(StoreError::from(error).into()),
    };
    // Under another name it would have another guard, and another log.
    if fs::metadata(&path).map_err(StoreError::from)?.nlink() > 1 {
        return Err(AttachError::Linked { path });
    }
    Ok(path)
}

/// Reads the header as plain bytes, before SQLite touches the file or a log beside it.
///
/// Only with the guard locked: closing a file gives up every lock that this process has on it, SQLite's too.
fn application_id(path: &Path) -> Result<i32, AttachError> {
    let mut header = [0; HEADER];
    let mut file = File::open(path).map_err(StoreError::from)?;
    file.read_exact(&mut header).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => StoreError::Corrupt(String::from("the file is cut off")),
        _ => error.into(),
    })?;
    let id = header.get(APPLICATION_ID_AT..).and_then(<[u8]>::first_chunk).copied().map(i32::from_be_bytes);
    match id {
        Some(id @ (schema::APPLICATION_ID | schema::BACKUP_ID)) if header.starts_with(MAGIC) => Ok(id),
        _ => Err(AttachError::NotOurs { path: path.to_path_buf() }),
    }
}

/// Opens the database, plays its log into it, and sees that none of its end is missing.
pub(super) fn open_whole(path: &Path, options: &Options) -> Result<Connection, StoreError> {
    let db = open_writer(path, options)?;
    // What the log holds after a crash may be on the disk only in part; writing it out again makes it so in full.
    checkpoint(&db, CheckpointMode::TRUNCATE)?;
    let pages: u64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let page: u64 = db.pragma_query_value(None, "page_size", |row| row.get(0))?;
    if fs::metadata(path)?.len() < pages.saturating_mul(page) {
        return Err(StoreError::Corrupt(String::from("the file is cut off")));
    }
    Ok(db)
}

/// What the database says of itself.
fn record(db: &Connection, path: &Path) -> Result<Record, StoreError> {
    let row = db
        .query_row("SELECT instance, commits FROM store", [], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let (instance, commits) =
        row.ok_or_else(|| StoreError::Corrupt(String::from("the table `store` is empty")))?;
    Record::new(InstanceId::from(instance), commits.cast_unsigned(), path)
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    Ok(File::open(path)?.sync_all()?)
}

/// A file that is removed again unless it was linked elsewhere.
pub(super) struct Temporary(pub(super) PathBuf);

impl Temporary {
    pub(super) fn create(path: PathBuf) -> Result<Self, StoreError> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self(path))
    }

    /// Gives the file its name. A link, not a rename: it never replaces what somebody else put there meanwhile.
    pub(super) fn publish(self, path: &Path) -> Result<(), AttachError> {
        fs::hard_link(&self.0, path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => AttachError::Exists { path: path.to_path_buf() },
            _ => StoreError::from(error).into(),
        })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
