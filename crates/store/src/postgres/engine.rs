//! The thread of a database, with a runtime of its own: any runtime, or none, may call the store.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::attach::{Attachment, AttachmentId, Start, open_first};
use super::durability::{self, Durability, Seen};
use super::lane::{Job, Lane, Lock, Task};
#[cfg(feature = "table")]
use super::listen::{self, Deposits};
use super::options::PostgresOptions;
use super::place::{Place, PostgresUrl};
use super::readers::Readers;
use super::session::Session;
use super::upkeep;
use crate::{AttachError, StoreError};

/// What the tasks of a database share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) place: Place,
    pub(super) options: PostgresOptions,
    pub(super) attachment: AttachmentId,
    readers: Readers,
    /// A commit is in doubt: until the lane has a connection again, on which the server and its standby agree, readers
    /// may see what the standby lacks, or miss what waits for it.
    pub(super) unsettled: AtomicBool,
    /// A connection beside the lane was led elsewhere: the lane is to look where the database is.
    pub(super) doubt: Notify,
    /// On the timeline that the lane goes on: of another one nothing is believed before the lane has looked.
    seen: Mutex<Seen>,
    /// Why nothing is served any more, if the server turned out to be another one or an older copy.
    replaced: Mutex<Option<StoreError>>,
    /// Reads under way.
    reading: AtomicUsize,
    #[cfg(feature = "table")]
    pub(super) deposits: listen::Sender,
}

/// An attached database. The last handle to go, or [`Engine::close`], lets what is queued be finished.
#[derive(Debug)]
pub(super) struct Engine {
    shared: Arc<Shared>,
    /// The process that the thread belongs to: a fork does not have it.
    process: u32,
    runtime: Handle,
    queue: RwLock<Option<mpsc::Sender<Job>>>,
    ended: watch::Receiver<()>,
}

/// What the thread says when the database is attached.
type Started = (Arc<Shared>, Handle);

impl Engine {
    pub(super) async fn start(
        url: PostgresUrl,
        how: Start,
        options: PostgresOptions,
    ) -> Result<Self, AttachError> {
        let (writes, queue) = mpsc::channel(options.queue);
        let (started, begun) = oneshot::channel::<Result<Started, AttachError>>();
        let (ends, ended) = watch::channel(());
        let place = Place::new(url, &options)?;
        let body = move || {
            // Dropped last: whoever waits for the end finds the connections closed.
            let _ends = ends;
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(AttachError::Store(error.into())))),
            };
            runtime.block_on(async {
                let opened = timeout(options.timeout.saturating_mul(2), open_first(&place, how));
                let opened = opened.await.unwrap_or(Err(AttachError::Store(StoreError::Busy)));
                let (session, attachment) = match opened {
                    Ok(opened) => opened,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let seen = match durability::look(&session).await {
                    Ok(seen) => seen,
                    Err(error) => return drop(started.send(Err(error.into()))),
                };
                let shared = Arc::new(Shared::new(place, options, &attachment, seen));
                if started.send(Ok((shared.clone(), Handle::current()))).is_err() {
                    return;
                }
                #[cfg(feature = "table")]
                tokio::spawn(listen::serve(shared.clone()));
                tokio::spawn(upkeep::serve(shared.clone()));
                Lane::new(shared, attachment, session).serve(queue).await;
            });
        };
        thread::Builder::new().name("symbolon-postgres".into()).spawn(body).map_err(StoreError::from)?;
        let (shared, runtime) = begun.await.map_err(|_| AttachError::Store(StoreError::Closed))??;
        let queue = RwLock::new(Some(writes));
        Ok(Self { shared, process: std::process::id(), runtime, queue, ended })
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Runs `work` in the transaction of the next commit and answers after that commit.
    pub(super) async fn write<T, F, Fut>(&self, lock: Lock, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Arc<Session>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (task, answer) = Task::new(lock, work);
        self.enqueue(Job::Work(Box::new(task)))?;
        answer.await.unwrap_or(Err(StoreError::Unknown))
    }

    /// Runs `work`, one statement, on what is committed.
    pub(super) async fn read<T, F, Fut>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Arc<Session>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.usable()?;
        if self.shared.unsettled.load(Ordering::SeqCst) {
            // Not before the lane has gone on.
            self.write(Lock::Name("settle".into()), |_| async { Ok(()) }).await?;
        }
        let shared = self.shared.clone();
        let place = Reading::begin(&shared)?;
        let read = self.runtime.spawn(async move {
            let _place = place;
            shared.readers.run(&shared, work).await
        });
        read.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Runs `work` on what is committed, for nobody who waits.
    #[cfg(feature = "envelope")]
    pub(super) fn later<F, Fut>(&self, work: F)
    where
        F: Fn(Arc<Session>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        if self.usable().is_ok() {
            let shared = self.shared.clone();
            self.runtime.spawn(async move {
                if let Err(error) = shared.aside(work).await {
                    tracing::warn!(%error, "what is not needed any more was not removed");
                }
            });
        }
    }

    pub(super) fn enqueue(&self, job: Job) -> Result<(), StoreError> {
        self.usable()?;
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        match queue.as_ref().ok_or(StoreError::Closed)?.try_send(job) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(StoreError::Closed),
        }
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.process != std::process::id() {
            return Err(StoreError::Forked);
        }
        if self.queue.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Err(StoreError::Closed);
        }
        self.shared.usable()
    }

    /// Refuses what comes from now on, and waits until what is queued is finished.
    pub(super) async fn close(&self) {
        self.queue.write().unwrap_or_else(PoisonError::into_inner).take();
        let mut ended = self.ended.clone();
        // An error says that the thread is gone.
        while ended.changed().await.is_ok() {}
    }

    #[cfg(feature = "table")]
    pub(super) fn deposits(&self) -> Deposits {
        Deposits::new(&self.shared.deposits, self.ended.clone())
    }
}

impl Shared {
    fn new(place: Place, options: PostgresOptions, attachment: &Attachment, seen: Seen) -> Self {
        let shared = Self {
            place,
            attachment: attachment.id,
            readers: Readers::new(options.readers, attachment.clone()),
            unsettled: AtomicBool::new(false),
            doubt: Notify::new(),
            options,
            seen: Mutex::new(Seen { durability: Durability::Replicated, ..seen }),
            replaced: Mutex::default(),
            reading: AtomicUsize::new(0),
            #[cfg(feature = "table")]
            deposits: listen::Sender::default(),
        };
        shared.set_durability(seen);
        shared
    }

    pub(super) fn usable(&self) -> Result<(), StoreError> {
        lock(&self.replaced).clone().map_or(Ok(()), Err)
    }

    /// Notes why nothing can be served, or that everything can.
    pub(super) fn replace(&self, why: Option<&StoreError>) {
        let found = why.filter(|error| matches!(error, StoreError::Replaced(_)));
        if let Some(error) = found {
            tracing::error!(%error, "nothing is served any more");
        }
        if found.is_some() || why.is_none() {
            *lock(&self.replaced) = found.cloned();
        }
    }

    pub(super) fn durability(&self) -> Durability {
        lock(&self.seen).durability
    }

    /// Checks a connection beside the lane: the timeline that it is on, which must be where the lane goes on.
    pub(super) async fn check(&self, session: &Session) -> Result<i64, StoreError> {
        let timeline = self.timeline();
        let checked = self.readers.attachment().check_beside(session, timeline).await;
        if checked.is_err() {
            self.doubt.notify_one();
        }
        checked.map(|()| timeline)
    }

    /// Where the lane goes on.
    pub(super) fn timeline(&self) -> i64 {
        lock(&self.seen).timeline
    }

    /// Notes how the standbys stand, if that is where the lane goes on.
    pub(super) fn see(&self, seen: Seen) {
        if seen.timeline == lock(&self.seen).timeline {
            self.set_durability(seen);
        }
    }

    pub(super) fn set_durability(&self, seen: Seen) {
        let before = core::mem::replace(&mut *lock(&self.seen), seen).durability;
        let now = seen.durability;
        match now {
            _ if now == before => {}
            Durability::Replicated => tracing::info!("a synchronous standby has what is committed"),
            Durability::Alone => {
                tracing::warn!("PostgreSQL has no standby: its loss is the loss of the data")
            }
            Durability::Asynchronous => {
                tracing::error!("PostgreSQL has only asynchronous standbys: pads are refused");
            }
            Durability::Hidden => {
                tracing::error!("the role sees no standbys (GRANT pg_monitor): pads are refused")
            }
        }
    }

    /// Runs `work`, one statement, beside the lane. For the tasks of the store itself.
    pub(super) async fn aside<T, F, Fut>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        F: Fn(Arc<Session>) -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        self.readers.run(self, work).await
    }
}

/// A read under way: as many as the queue is long may be.
struct Reading(Arc<Shared>);

impl Reading {
    fn begin(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let reading = Self(shared.clone());
        match shared.reading.fetch_add(1, Ordering::SeqCst) < shared.options.queue {
            true => Ok(reading),
            false => Err(StoreError::Busy),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.reading.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What these locks guard is a value: whole whatever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does what is done once, on a thread of its own with a runtime of its own.
pub(super) async fn apart<F, Fut>(url: PostgresUrl, work: F) -> Result<(), AttachError>
where
    F: FnOnce(Place) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), AttachError>>,
{
    let (result, answer) = oneshot::channel();
    let place = Place::new(url, &PostgresOptions::default())?;
    let body = move || {
        let done = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(work(place)),
            Err(error) => Err(AttachError::Store(error.into())),
        };
        // Nobody may be waiting any more.
        let _ = result.send(done);
    };
    thread::Builder::new().name("symbolon-attach".into()).spawn(body).map_err(StoreError::from)?;
    answer.await.map_err(|_| AttachError::Store(StoreError::Closed))?
}
