//! What a database needs now and then: a short log, a compact file, a backup, a check.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::fs;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, OpenFlags};
use symbolon_keys::OsRng;

use super::connection::{checkpoint, open_reader, open_writer};
use super::engine::{Rings, apart};
use super::file::{BESIDE, Temporary, parent, sync, vacant};
use super::guard::InstanceId;
use super::options::Options;
use super::{Sqlite, beside, schema};
use crate::{AttachError, StoreError};

/// Pages that one commit of a compaction gives back: short enough that nobody notices.
const VACUUM: u32 = 64;
/// The file of a copy is there already, and its name is a path: never CREATE, and no URI.
const COPY: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Moves the log into the database whenever the writer rings, beside readers and writer.
pub(super) fn serve(path: &Path, options: &Options, base: &AtomicU64, rings: &Rings) {
    let mut db = open_writer(path, options).ok();
    while rings.recv().is_ok() {
        let done = match &db {
            Some(db) => checkpoint(db, CheckpointMode::PASSIVE)
                .map(|moved| base.fetch_max(moved.unwrap_or_default(), Ordering::SeqCst))
                .map(|_| ()),
            None => open_writer(path, options).map(|opened| db = Some(opened)),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the log could not be moved into the database");
            db = None;
        }
    }
}

impl Sqlite {
    /// Reads the whole database, with its indexes and the files of large payloads, and says whether it is sound.
    /// It runs beside everything else, and takes as long as reading takes.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] says what was found first: stop, and restore a backup.
    pub async fn check(&self) -> Result<(), StoreError> {
        #[cfg(feature = "envelope")]
        let path = self.path().to_path_buf();
        let _hold = Hold::new(&self.engine.holds);
        self.read(move |db| {
            let found: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            if found != "ok" {
                return Err(StoreError::Corrupt(found));
            }
            if db.prepare("PRAGMA foreign_key_check")?.exists([])? {
                return Err(StoreError::Corrupt(String::from("a row refers to one that is not there")));
            }
            #[cfg(feature = "envelope")]
            super::envelope::check_named(db, &path)?;
            Ok(())
        })
        .await
    }

    /// Writes a consistent copy to `to`, beside everything else: what was committed before is in it. The files of large
    /// payloads go into a folder beside it, as links on the same file system.
    ///
    /// The copy is marked: it can be used by [`Sqlite::attach_after_restore`] only.
    ///
    /// # Errors
    /// [`AttachError::Exists`] if there is a file; [`StoreError`] if the copy failed, and then there is none.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<(), AttachError> {
        let database = self.path().to_path_buf();
        let hold = Hold::new(&self.engine.holds);
        apart(to.as_ref().to_path_buf(), move |to| {
            let _hold = hold;
            back_up(&database, &to)
        })
        .await
    }

    /// Gives free pages back to the file system, a few with each commit, and empties the log.
    ///
    /// # Errors
    /// [`StoreError`]; what was given back until then stays so.
    pub async fn compact(&self) -> Result<(), StoreError> {
        let mut left = u64::MAX;
        loop {
            let free = self.write(|db| {
                db.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM})"))?;
                // Pages are not rows; this makes it a commit.
                db.execute("UPDATE store SET restores = restores", [])?;
                Ok(db.pragma_query_value(None, "freelist_count", |row| row.get::<_, u64>(0))?)
            });
            let free = free.await?;
            if free == 0 || free >= left {
                break;
            }
            left = free;
        }
        let path = self.path().to_path_buf();
        let base = self.engine.base.clone();
        let emptied = apart(path, move |path| {
            let empty = |db: Connection| checkpoint(&db, CheckpointMode::TRUNCATE);
            let moved = open_writer(&path, &Options::default()).and_then(empty).map_err(StoreError::from)?;
            base.fetch_max(moved.unwrap_or_default(), Ordering::SeqCst);
            Ok(())
        });
        emptied.await.map_err(|error| match error {
            AttachError::Store(error) => error,
            other => StoreError::Io(format!("{other}")),
        })
    }
}

fn back_up(database: &Path, to: &Path) -> Result<(), AttachError> {
    vacant(to, &BESIDE)?;
    let temporary = Temporary::create(beside(to, &format!("-new-{}", InstanceId::generate(&mut OsRng))))?;
    let written = write_backup(database, to, temporary);
    if written.is_err() {
        // Ours: there was none before.
        let _ = fs::remove_dir_all(beside(to, "-files"));
    }
    written
}

fn write_backup(database: &Path, to: &Path, temporary: Temporary) -> Result<(), AttachError> {
    let copy = copy(database, &temporary.0)?;
    #[cfg(feature = "envelope")]
    super::envelope::copy_named(&copy, database, to)?;
    copy.close().map_err(|(_, error)| StoreError::from(error))?;
    sync(&temporary.0)?;
    temporary.publish(to)?;
    Ok(sync(parent(to))?)
}

/// Copies every page in one read transaction, which no writer waits for, and marks the copy.
fn copy(database: &Path, to: &Path) -> Result<Connection, StoreError> {
    let source = open_reader(database)?;
    let mut copy = Connection::open_with_flags(to, COPY)?;
    if Backup::new(&source, &mut copy)?.step(-1)? != StepResult::Done {
        return Err(StoreError::Busy);
    }
    // One file, without a log.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    copy.pragma_update(None, "application_id", schema::BACKUP_ID)?;
    Ok(copy)
}

/// As long as it lives, no file of a payload is removed.
struct Hold(Arc<AtomicUsize>);

impl Hold {
    fn new(holds: &Arc<AtomicUsize>) -> Self {
        holds.fetch_add(1, Ordering::SeqCst);
        Self(holds.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
