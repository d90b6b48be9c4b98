//! The threads of a database and the queues that lead to them. No runtime is needed, and none is blocked.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::file::{self, Opened, Start};
use super::guard::Guard;
use super::options::Options;
use super::writer::{Job, Task, Writer};
use super::{reader, upkeep};
use crate::{AttachError, StoreError};

/// An attached database. The last handle to go, or [`Engine::close`], finishes what is queued and lets go of the file.
#[derive(Debug)]
pub(super) struct Engine {
    path: PathBuf,
    /// The process that the threads belong to: a fork has none of them.
    process: u32,
    /// Those who read the whole database, now: while there are any, no file of a payload is removed.
    pub(super) holds: Arc<AtomicUsize>,
    /// Commits that the file has without its log.
    pub(super) base: Arc<AtomicU64>,
    running: RwLock<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    writes: SyncSender<Box<dyn Job>>,
    reads: SyncSender<Box<dyn Job>>,
    files: SyncSender<Chore>,
    readers: Vec<JoinHandle<()>>,
    writer: JoinHandle<Guard>,
    upkeep: JoinHandle<()>,
}

/// Work with files, which blocks.
type Chore = Box<dyn FnOnce() + Send>;

impl Engine {
    /// Opens the file on a thread of its own, and starts the others when that has succeeded.
    pub(super) async fn start(path: PathBuf, how: Start, options: Options) -> Result<Self, AttachError> {
        let opener = options.clone();
        let opened = apart(path, move |path| file::open(&path, how, &opener)).await?;
        Ok(Self::run(opened, options)?)
    }

    fn run(opened: Opened, options: Options) -> Result<Self, StoreError> {
        let path = opened.path.clone();
        let (writes, queue) = sync_channel(options.queue);
        let (reads, shared) = sync_channel(options.queue);
        let (bell, rings) = sync_channel(1);
        let shared = Arc::new(Mutex::new(shared));
        let mut readers = Vec::new();
        for _ in 0..options.readers {
            let (path, shared) = (path.clone(), shared.clone());
            readers.push(spawn("symbolon-reader", move || reader::serve(&path, &shared))?);
        }
        let (files, chores) = sync_channel::<Chore>(options.queue);
        readers.push(spawn("symbolon-files", move || chores.iter().for_each(|chore| chore()))?);
        let log = path.clone();
        let keeper = options.clone();
        let base = Arc::<AtomicU64>::default();
        let moved = base.clone();
        let upkeep = spawn("symbolon-upkeep", move || upkeep::serve(&log, &keeper, &moved, &rings))?;
        let writer = Writer::new(opened, options, bell, base.clone());
        let writer = spawn("symbolon-writer", move || writer.serve(&queue))?;
        let running = Running { writes, reads, files, readers, writer, upkeep };
        let running = RwLock::new(Some(running));
        Ok(Self { path, process: std::process::id(), holds: Arc::default(), base, running })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` in a savepoint of the next commit and answers after that commit.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (task, answer) = Task::new(work);
        self.enqueue::<Box<dyn Job>, _>(Box::new(task), |running| &running.writes)?;
        answer.await.unwrap_or(Err(StoreError::Unknown))
    }

    /// Runs `work` on one consistent view of what is committed.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (task, answer) = Task::new(work);
        self.enqueue::<Box<dyn Job>, _>(Box::new(task), |running| &running.reads)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Does `work` with files, off the threads of the caller and of the database.
    pub(super) async fn files<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, StoreError> + Send + 'static,
    {
        let (result, answer) = oneshot::channel();
        self.chore(move || drop(result.send(work())))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The same, for nobody who waits.
    pub(super) fn chore<F: FnOnce() + Send + 'static>(&self, work: F) -> Result<(), StoreError> {
        self.enqueue::<Chore, _>(Box::new(work), |running| &running.files)
    }

    fn enqueue<J, Q>(&self, job: J, queue: Q) -> Result<(), StoreError>
    where
        Q: FnOnce(&Running) -> &SyncSender<J>,
    {
        if self.process != std::process::id() {
            return Err(StoreError::Forked);
        }
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        match queue(running.as_ref().ok_or(StoreError::Closed)?).try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Closed),
        }
    }

    /// Refuses what comes from now on, finishes what is queued, and lets go of the file.
    pub(super) async fn close(self: Arc<Self>) {
        let (done, closed) = oneshot::channel();
        let closing = self.clone();
        let spawned = spawn("symbolon-close", move || {
            closing.stop();
            let _ = done.send(());
        });
        match spawned {
            Ok(_) => drop(closed.await),
            Err(_) => self.stop(),
        }
    }

    fn stop(&self) {
        let running = self.running.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { writes, reads, files, readers, writer, upkeep }) = running else { return };
        drop((reads, files));
        if self.process != std::process::id() {
            return;
        }
        // Readers first: the last connection to close must be one that can move the log into the database.
        for reader in readers {
            join(reader);
        }
        drop(writes);
        // Its guard is held until the last connection is closed, which still moves the log.
        let _guard = join(writer);
        join(upkeep);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Does what blocks, and is done once, on a thread of its own. If nobody waits any more, the result is dropped.
pub(super) async fn apart<T, F>(path: PathBuf, work: F) -> Result<T, AttachError>
where
    T: Send + 'static,
    F: FnOnce(PathBuf) -> Result<T, AttachError> + Send + 'static,
{
    let (result, answer) = oneshot::channel();
    spawn("symbolon-attach", move || drop(result.send(work(path))))?;
    answer.await.map_err(|_| AttachError::Store(StoreError::Closed))?
}

fn spawn<T, F>(name: &str, body: F) -> Result<JoinHandle<T>, StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    Ok(thread::Builder::new().name(name.into()).spawn(body)?)
}

fn join<T>(thread: JoinHandle<T>) -> Option<T> {
    let ended = thread.join().ok();
    if ended.is_none() {
        tracing::error!("a thread of the database panicked");
    }
    ended
}

/// What rings for upkeep.
pub(super) type Rings = Receiver<()>;
