//! The one lane of commits: what waits in the queue when a commit returns goes into the next one, together.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use core::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::attach::{self, Attachment};
use super::durability;
use super::engine::Shared;
#[cfg(feature = "ledger")]
use super::ledger;
use super::session::Session;
use super::sql::Param;
use crate::{CommitPoint, StoreError};

/// Jobs of one commit: enough that a sync is shared by every client there is.
const MAX_GROUP: usize = 1024;
/// The first pause between two attempts to connect; each is twice as long as the one before, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// Locks of one group: names are spread over so many, so that no group fills the server's table of locks.
const LOCKS: i64 = 256;

/// A request to the lane.
pub(super) enum Job {
    /// Judged together with all other batches of the group.
    #[cfg(feature = "ledger")]
    Ledger(ledger::Batched),
    /// Carried out by itself.
    Work(Box<dyn Work>),
}

/// What a job must have for itself while its group is carried out: nobody else's group that needs it runs beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// One thing, by its name.
    Name(String),
    /// Everything: for clean-ups, which touch rows of many.
    All,
}

/// The boxed future of a job.
type Running<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// A job of its own statements: carried out, and answered when its fate is known.
pub(super) trait Work: Send {
    fn lock(&self) -> &Lock;
    /// May be called again after a rollback.
    fn run(&mut self, db: Arc<Session>) -> Running<'_>;
    fn release(self: Box<Self>, fate: &Result<(), StoreError>);
}

/// The job of one closure.
pub(super) struct Task<T, F> {
    lock: Lock,
    work: F,
    reply: Reply<T>,
}

/// Who waits for a job, and what it will be told if the commit succeeds.
pub(super) struct Reply<T> {
    pub(super) result: Option<Result<T, StoreError>>,
    waiting: oneshot::Sender<Result<T, StoreError>>,
}

impl<T> Reply<T> {
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (waiting, answer) = oneshot::channel();
        (Self { result: None, waiting }, answer)
    }

    pub(super) fn release(self, fate: &Result<(), StoreError>) {
        let answer = match (fate, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::Closed),
            (Err(error), _) => Err(error.clone()),
        };
        // Nobody may be waiting any more; what was committed stays committed.
        let _ = self.waiting.send(answer);
    }
}

impl<T, F> Task<T, F> {
    pub(super) fn new(lock: Lock, work: F) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, answer) = Reply::new();
        (Self { lock, work, reply }, answer)
    }
}

impl<T, F, Fut> Work for Task<T, F>
where
    T: Send,
    F: Fn(Arc<Session>) -> Fut + Send,
    Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    fn lock(&self) -> &Lock {
        &self.lock
    }

    fn run(&mut self, db: Arc<Session>) -> Running<'_> {
        let running = (self.work)(db);
        Box::pin(async {
            let result = running.await;
            let ran = result.as_ref().map(drop).map_err(Clone::clone);
            self.reply.result = Some(result);
            ran
        })
    }

    fn release(self: Box<Self>, fate: &Result<(), StoreError>) {
        self.reply.release(fate);
    }
}

impl Job {
    fn lock(&self) -> Lock {
        match self {
            #[cfg(feature = "ledger")]
            Self::Ledger(_) => Lock::Name("ledger".into()),
            Self::Work(work) => work.lock().clone(),
        }
    }

    fn release(self, fate: &Result<(), StoreError>) {
        match self {
            #[cfg(feature = "ledger")]
            Self::Ledger(batched) => batched.release(fate),
            Self::Work(work) => work.release(fate),
        }
    }
}

/// The state of the lane.
pub(super) struct Lane {
    shared: Arc<Shared>,
    attachment: Attachment,
    /// None after a failure, until there is a connection again.
    session: Option<Arc<Session>>,
    /// Commits that the server acknowledged.
    acknowledged: u64,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, attachment: Attachment, session: Session) -> Self {
        Self { shared, attachment, session: Some(Arc::new(session)), acknowledged: 0 }
    }

    /// Serves the queue until every sender is gone, then takes part no more.
    pub(super) async fn serve(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut group = Vec::new();
        loop {
            let received = tokio::select! {
                biased;
                received = queue.recv_many(&mut group, MAX_GROUP) => received,
                () = self.shared.doubt.notified() => {
                    self.look().await;
                    continue;
                }
            };
            if received == 0 {
                break;
            }
            let fate = self.commit(&mut group).await;
            if let Err(error) = &fate {
                tracing::error!(%error, jobs = group.len(), "a commit failed");
            }
            for job in group.drain(..) {
                job.release(&fate);
            }
        }
        if let Some(session) = self.session {
            // Whoever attaches later finds out by the time that passed.
            let left = timeout(self.shared.options.timeout, attach::leave(&session, self.attachment.id));
            drop(left.await);
        }
    }

    /// Commits what the jobs of the group keep. On an error nothing of them is in the database, unless the error is
    /// [`StoreError::Unknown`].
    async fn commit(&mut self, group: &mut [Job]) -> Result<(), StoreError> {
        self.shared.options.reach(CommitPoint::Begin)?;
        // A connection that was lost before COMMIT has left nothing behind: the same again, on another one.
        let mut attempts = 2_u8;
        loop {
            attempts = attempts.saturating_sub(1);
            let session = self.connected().await?;
            match self.patiently(self.carry_out(&session, group)).await {
                Ok(Some(commits)) => return self.finish(session, commits).await,
                Ok(None) => {
                    self.patiently(session.batch("ROLLBACK")).await?;
                    self.session = Some(session);
                    return Ok(());
                }
                Err(StoreError::Unavailable(_)) if attempts > 0 => {}
                Err(error) => {
                    // Not needed any more, unless it can be rolled back.
                    if self.patiently(session.batch("ROLLBACK")).await.is_ok() {
                        self.session = Some(session);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Finds out where the database is now, because a connection beside this one found it elsewhere.
    async fn look(&mut self) {
        // The connection that there is, if it still is, and another one if not.
        for _ in 0..2 {
            let Ok(session) = self.connected().await else { return };
            if self.patiently(session.batch("SELECT")).await.is_ok() {
                self.session = Some(session);
                return;
            }
        }
    }

    /// Twice as long as the server may take for a statement: then it does not answer at all.
    async fn patiently<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let limit = self.shared.options.timeout.saturating_mul(2);
        timeout(limit, work).await.unwrap_or(Err(StoreError::Busy))
    }

    /// The connection: the one that there is, or another one, for which it waits with growing pauses.
    async fn connected(&mut self) -> Result<Arc<Session>, StoreError> {
        if let Some(session) = self.session.take().filter(|session| !session.is_closed()) {
            return Ok(session);
        }
        let until = Instant::now().checked_add(self.shared.options.timeout);
        let mut pause = FIRST_PAUSE;
        loop {
            let limit = self.shared.options.timeout.saturating_mul(2);
            let failed = match self.patiently(Session::open(&self.shared.place, None)).await {
                // No limit of the server ends the wait for a standby.
                Ok(session) => match timeout(limit, self.admit(&session)).await {
                    Ok(Ok(())) => return Ok(Arc::new(session)),
                    Ok(Err(error)) => error,
                    Err(_) => StoreError::Busy,
                },
                Err(error) => error,
            };
            let passing =
                matches!(failed, StoreError::Unavailable(_) | StoreError::Busy | StoreError::ReadOnly);
            if !passing || until.is_none_or(|until| Instant::now() >= until) {
                return Err(failed);
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(LAST_PAUSE);
        }
    }

    async fn admit(&mut self, session: &Session) -> Result<(), StoreError> {
        let (acknowledged, last_seen) = (self.acknowledged, self.shared.durability());
        let checked = self.attachment.check(session, acknowledged, last_seen).await;
        self.shared.replace(checked.as_ref().err());
        checked?;
        // What a crash left on the server alone is seen by now. This waits until the standby has it, too: so that what
        // is judged on it stands.
        let _ = session.take_warning();
        let sql = "UPDATE attachments SET seen = now() WHERE id = $1";
        session.execute(sql, &[&self.attachment.id.as_bytes().as_slice()]).await?;
        if session.take_warning() {
            return Err(StoreError::Unavailable("the standby does not answer".into()));
        }
        self.shared.set_durability(durability::look(session).await?);
        self.shared.unsettled.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Runs every job in a transaction; the number of this commit, or none if no job changed anything.
    async fn carry_out(&self, session: &Arc<Session>, group: &mut [Job]) -> Result<Option<u64>, StoreError> {
        begin(session, group).await?;
        // Not as it was when they came: the connection may lead elsewhere since.
        let pads = self.shared.durability().admits_pads();
        match together(session, group, pads).await {
            Ok(()) => {}
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(_) => {
                session.batch("ROLLBACK").await?;
                begin(session, group).await?;
                apart(session, group, pads).await?;
            }
        }
        self.count(session).await
    }

    /// Counts the commit, if there is anything to commit.
    async fn count(&self, session: &Session) -> Result<Option<u64>, StoreError> {
        let sql = "WITH work AS MATERIALIZED (SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS done),
                   counted AS (UPDATE attachments SET commits = commits + 1, seen = now()
                               WHERE id = $1 AND (SELECT done FROM work) RETURNING commits)
                   SELECT done, (SELECT commits FROM counted) FROM work";
        let id = self.attachment.id.as_bytes().as_slice();
        session.prepare(sql).await?;
        let params: [Param<'_>; 1] = [&id];
        let row = session.first(sql, &params, |c| Ok((c.get::<bool>()?, c.get::<Option<i64>>()?)));
        // The limit of a statement would end a wait for a standby, too, and COMMIT succeed without it.
        let (row, ()) = tokio::try_join!(biased; row, session.batch("SET LOCAL statement_timeout = 0"))?;
        match row {
            Some((false, _)) => Ok(None),
            Some((true, Some(commits))) => Ok(u64::try_from(commits).ok()),
            _ => Err(StoreError::Replaced("it does not know this process any more".into())),
        }
    }

    async fn finish(&mut self, session: Arc<Session>, commits: u64) -> Result<(), StoreError> {
        let options = &self.shared.options;
        let _ = session.take_warning();
        let committed = async {
            options.reach(CommitPoint::Applied)?;
            self.patiently(session.batch("COMMIT")).await?;
            options.reach(CommitPoint::Committed)?;
            // Cancelled while it waited for the standby, which may not have it?
            if session.take_warning() {
                return Err(StoreError::Unknown);
            }
            options.reach(CommitPoint::Guarded)
        };
        if let Err(error) = committed.await {
            tracing::error!(%error, "COMMIT failed");
            self.shared.unsettled.store(true, Ordering::SeqCst);
            return Err(StoreError::Unknown);
        }
        self.acknowledged = commits;
        self.session = Some(session);
        Ok(())
    }
}

/// Begins a transaction and takes its locks, in one order for everybody: so that no two groups wait for each other.
async fn begin(session: &Session, group: &[Job]) -> Result<(), StoreError> {
    let locks: Vec<Lock> = group.iter().map(Job::lock).collect();
    if locks.contains(&Lock::All) {
        return session.batch("BEGIN; SELECT pg_advisory_xact_lock(-1)").await;
    }
    let named = locks.iter().filter_map(|lock| match lock {
        Lock::Name(name) => Some(name.as_str()),
        Lock::All => None,
    });
    let mut names: Vec<&str> = named.collect();
    names.sort_unstable();
    names.dedup();
    let sql = "SELECT pg_advisory_xact_lock(bucket) FROM
               (SELECT DISTINCT abs(hashtextextended(name, 0) % $2) AS bucket
                FROM unnest($1::text[]) AS name ORDER BY bucket) AS buckets";
    session.prepare(sql).await?;
    // One after the other, without waiting for the answer between.
    let begun = session.batch("BEGIN; SELECT pg_advisory_xact_lock_shared(-1)");
    let params: [Param<'_>; 2] = [&names, &LOCKS];
    tokio::try_join!(biased; begun, session.all(sql, &params, |_| Ok(()))).map(drop)
}

/// Nothing keeps the jobs apart here, because they hardly ever fail: a refusal is an answer and writes nothing. What
/// uses a pad is refused unless `pads`.
async fn together(session: &Arc<Session>, group: &mut [Job], pads: bool) -> Result<(), StoreError> {
    #[cfg(not(feature = "ledger"))]
    let _ = pads;
    #[cfg(feature = "ledger")]
    {
        let mut batches = Vec::new();
        for job in group.iter_mut() {
            if let Job::Ledger(batched) = job
                && batched.admit(pads)
            {
                batches.push(batched);
            }
        }
        ledger::judge(session, &mut batches).await?;
    }
    for job in group {
        match job {
            #[cfg(feature = "ledger")]
            Job::Ledger(_) => {}
            Job::Work(work) => work.run(session.clone()).await?,
        }
    }
    Ok(())
}

/// The same after a job has failed: from the beginning, each job in a savepoint of its own, so that one which fails
/// undoes its own changes and nobody else's.
async fn apart(session: &Arc<Session>, group: &mut [Job], pads: bool) -> Result<(), StoreError> {
    for job in group {
        session.batch("SAVEPOINT job").await?;
        let ran = together(session, core::slice::from_mut(job), pads).await;
        match ran {
            Ok(()) => {}
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(error) => {
                session.batch("ROLLBACK TO job").await?;
                #[cfg(feature = "ledger")]
                if let Job::Ledger(batched) = job {
                    batched.fail(error);
                }
                #[cfg(not(feature = "ledger"))]
                drop(error);
            }
        }
        session.batch("RELEASE job").await?;
    }
    Ok(())
}
