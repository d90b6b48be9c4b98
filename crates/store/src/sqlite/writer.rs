//! The one writer: what waits in the queue when a commit returns goes into the next one, together.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender};

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, MAIN_DB};
use tokio::sync::oneshot;

use super::connection::{checkpoint, is_grave};
use super::file::{Opened, open_whole};
use super::guard::Guard;
use super::options::Options;
use crate::{CommitPoint, StoreError};

/// Jobs of one commit: enough that a sync is shared by every client there is, few enough that one commit stays in
/// the page cache.
const MAX_GROUP: usize = 1024;
/// Commits between two looks at the length of the log.
const LOG_LOOK: u32 = 64;
/// Frames of the log after which upkeep moves it into the database (4 KiB each: 16 MiB).
const LOG_LONG: i32 = 4 * 1024;
/// Frames after which the writer itself does, so that the log stays bounded whatever the load.
const LOG_TOO_LONG: i32 = 16 * LOG_LONG;

/// A request to the writer or to a reader: carried out, and answered when its fate is known.
pub(super) trait Job: Send {
    /// May be called again after a rollback.
    fn run(&mut self, db: &Connection) -> Result<(), StoreError>;
    fn release(self: Box<Self>, fate: &Result<(), StoreError>);
}

/// The job of one closure.
pub(super) struct Task<T, F> {
    work: F,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Task<T, F> {
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { work, result: None, reply }, answer)
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, db: &Connection) -> Result<(), StoreError> {
        let result = (self.work)(db);
        let ran = result.as_ref().map(drop).map_err(Clone::clone);
        self.result = Some(result);
        ran
    }

    fn release(self: Box<Self>, fate: &Result<(), StoreError>) {
        let answer = match (fate, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::Closed),
            (Err(error), _) => Err(error.clone()),
        };
        // Nobody may be waiting any more; what was committed stays committed.
        let _ = self.reply.send(answer);
    }
}

/// The state of the writer's thread.
pub(super) struct Writer {
    path: PathBuf,
    /// None after a storage error, until it can be opened again.
    db: Option<Connection>,
    guard: Guard,
    /// Commits that the file has without its log, as whoever moves the log says.
    base: Arc<AtomicU64>,
    options: Options,
    /// Rings for upkeep.
    bell: SyncSender<()>,
    commits: u32,
}

impl Writer {
    pub(super) fn new(opened: Opened, options: Options, bell: SyncSender<()>, base: Arc<AtomicU64>) -> Self {
        let Opened { path, db, guard } = opened;
        Self { path, db: Some(db), guard, base, options, bell, commits: 0 }
    }

    /// Serves the queue until every sender is gone, then closes its connection and brings the guard to the disk. The
    /// guard is given back, to be held until nobody of this process has the file open.
    pub(super) fn serve(mut self, queue: &Receiver<Box<dyn Job>>) -> Guard {
        while let Ok(first) = queue.recv() {
            let mut group = Vec::from([first]);
            group.extend(queue.try_iter().take(MAX_GROUP - 1));
            let fate = self.commit(&mut group);
            if let Err(error) = &fate {
                tracing::error!(%error, jobs = group.len(), "a commit failed");
            }
            for job in group {
                job.release(&fate);
            }
            self.watch_log();
        }
        self.db = None;
        if let Err(error) = self.guard.sync() {
            tracing::warn!(%error, "the guard file could not be synced");
        }
        self.guard
    }

    /// Commits what the jobs of the group keep. On an error nothing of them is in the database, unless the error is
    /// [`StoreError::Unknown`]; after a grave one the connection is given up and the next group opens another, as
    /// attaching does: a log whose sync failed may be whole in the page cache only.
    fn commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let db = match self.db.take() {
            Some(db) => db,
            None => {
                let db = open_whole(&self.path, &self.options)?;
                self.note_base(checkpoint(&db, CheckpointMode::PASSIVE)?);
                db
            }
        };
        let mut doubt = false;
        let fate = self.transact(&db, group, &mut doubt);
        if !doubt && !fate.as_ref().is_err_and(is_grave) {
            self.db = Some(db);
        }
        fate
    }

    fn transact(
        &mut self,
        db: &Connection,
        group: &mut [Box<dyn Job>],
        doubt: &mut bool,
    ) -> Result<(), StoreError> {
        self.options.reach(CommitPoint::Begin)?;
        execute(db, "BEGIN IMMEDIATE")?;
        let commits = match apply(db, group).or_else(|_| apply_apart(db, group, doubt)) {
            Ok(Some(commits)) => commits,
            Ok(None) => return roll_back(db),
            Err(error) => {
                *doubt |= roll_back(db).is_err();
                return Err(error);
            }
        };
        // Before a log begins that stands on it.
        if let Err(error) = self.guard.rebase(self.base.load(Ordering::SeqCst)) {
            tracing::warn!(%error, "the guard file could not be advanced");
        }
        let committed = self
            .options
            .reach(CommitPoint::Applied)
            .and_then(|()| Ok(execute(db, "COMMIT")?))
            .and_then(|()| self.options.reach(CommitPoint::Committed));
        if let Err(error) = committed {
            tracing::error!(%error, "COMMIT failed");
            return Err(StoreError::Unknown);
        }
        if let Err(error) = self.guard.advance(commits) {
            // The commit stands. The guard only finds older copies less well.
            tracing::warn!(%error, "the guard file could not be advanced");
        }
        self.options.reach(CommitPoint::Guarded).map_err(|_| StoreError::Unknown)
    }

    fn note_base(&self, base: Option<u64>) {
        self.base.fetch_max(base.unwrap_or_default(), Ordering::SeqCst);
    }

    /// Now and then, looks how long the log is.
    fn watch_log(&mut self) {
        self.commits = self.commits.wrapping_add(1);
        let Some(db) = self.db.as_ref().filter(|_| self.commits.is_multiple_of(LOG_LOOK)) else { return };
        match db.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::NOOP) {
            Ok((frames, _)) if frames > LOG_TOO_LONG => {
                // Readers may hold it up, for as long as the busy timeout; then the next look tries again.
                if let Ok(base) = checkpoint(db, CheckpointMode::RESTART) {
                    self.note_base(base);
                }
            }
            Ok((frames, _)) if frames > LOG_LONG => {
                // A full bell has been rung already.
                let _ = self.bell.try_send(());
            }
            _ => {}
        }
    }
}

/// Runs every job in the transaction; the number of this commit, or none if no job changed anything.
///
/// Nothing keeps the jobs apart here, because they hardly ever fail: a refusal is an answer and writes nothing.
fn apply(db: &Connection, group: &mut [Box<dyn Job>]) -> Result<Option<u64>, StoreError> {
    let before = db.total_changes();
    for job in group {
        job.run(db)?;
    }
    count_commit(db, before)
}

/// The same after a job has failed: from the beginning, each job in a savepoint of its own, so that one which fails
/// undoes its own changes and nobody else's.
fn apply_apart(
    db: &Connection,
    group: &mut [Box<dyn Job>],
    doubt: &mut bool,
) -> Result<Option<u64>, StoreError> {
    roll_back(db)?;
    execute(db, "BEGIN IMMEDIATE")?;
    let before = db.total_changes();
    for job in group {
        execute(db, "SAVEPOINT job")?;
        let ran = job.run(db);
        if db.is_autocommit() {
            // A full disk or a failed write makes SQLite undo the whole transaction: the jobs before, too.
            return Err(ran.err().unwrap_or_else(|| StoreError::Io(String::from("SQLite rolled back"))));
        }
        if let Err(error) = &ran {
            execute(db, "ROLLBACK TO job")?;
            *doubt |= is_grave(error);
        }
        execute(db, "RELEASE job")?;
    }
    count_commit(db, before)
}

fn count_commit(db: &Connection, before: u64) -> Result<Option<u64>, StoreError> {
    if db.total_changes() == before {
        return Ok(None);
    }
    let mut count = db.prepare_cached("UPDATE store SET commits = commits + 1 RETURNING commits")?;
    Ok(Some(count.query_row([], |row| row.get(0))?))
}

/// Ends a transaction, unless SQLite has ended it already.
fn roll_back(db: &Connection) -> Result<(), StoreError> {
    if db.is_autocommit() { Ok(()) } else { Ok(execute(db, "ROLLBACK")?) }
}

fn execute(db: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    db.prepare_cached(sql)?.execute([]).map(drop)
}
