use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::Postgres;
use super::attach::Start;
use super::place::PostgresUrl;
use crate::{AttachError, CommitPoint, InvalidUrl, StoreError};

/// How a database is attached; [`Postgres::attach`] takes the defaults.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(super) readers: usize,
    pub(super) queue: usize,
    pub(super) timeout: Duration,
    pub(super) upkeep: Duration,
    hook: Option<Arc<Hook>>,
}

type Hook = dyn Fn(CommitPoint) -> Result<(), StoreError> + Send + Sync;

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            queue: 4096,
            timeout: Duration::from_secs(10),
            upkeep: Duration::from_secs(5),
            hook: None,
        }
    }
}

impl PostgresOptions {
    /// Connections that read beside the one that commits: 1 to 64, at first 4.
    #[must_use]
    pub fn readers(mut self, n: usize) -> Self {
        self.readers = n.clamp(1, 64);
        self
    }

    /// Requests that may wait, at first 4096; beyond it they are refused as [`StoreError::Busy`].
    #[must_use]
    pub fn queue(mut self, n: usize) -> Self {
        self.queue = n.max(1);
        self
    }

    /// How long one statement, or the wait for one lock, may take, and how long a lost server is waited for: at least
    /// 100 milliseconds, at first 10 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.max(Duration::from_millis(100));
        self
    }

    /// How often a process says that it lives, and looks at the standbys: at least 100 milliseconds, at first every 5
    /// seconds.
    #[must_use]
    pub fn upkeep(mut self, every: Duration) -> Self {
        self.upkeep = every.max(Duration::from_millis(100));
        self
    }

    /// Calls `hook` at every point of every commit, on the thread of the store. An error that it returns is what the
    /// server might have said there: at [`CommitPoint::Begin`] the group fails with it, at every later point the outcome
    /// is [`StoreError::Unknown`].
    #[cfg(feature = "faulty")]
    #[must_use]
    pub fn on_commit<F>(mut self, hook: F) -> Self
    where
        F: Fn(CommitPoint) -> Result<(), StoreError> + Send + Sync + 'static,
    {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// [`Postgres::provision`] with these options.
    ///
    /// # Errors
    /// As there.
    pub async fn provision(self, url: &str) -> Result<Postgres, AttachError> {
        self.start(url, Start::Provision).await
    }

    /// [`Postgres::attach`] with these options.
    ///
    /// # Errors
    /// As there.
    pub async fn attach(self, url: &str) -> Result<Postgres, AttachError> {
        self.start(url, Start::Attach).await
    }

    /// [`Postgres::attach_after_failover`] with these options.
    ///
    /// # Errors
    /// As there.
    pub async fn attach_after_failover(self, url: &str) -> Result<Postgres, AttachError> {
        self.start(url, Start::AfterFailover).await
    }

    /// [`Postgres::attach_after_restore`] with these options.
    ///
    /// # Errors
    /// As there.
    pub async fn attach_after_restore(self, url: &str) -> Result<Postgres, AttachError> {
        self.start(url, Start::AfterRestore).await
    }

    async fn start(self, url: &str, how: Start) -> Result<Postgres, AttachError> {
        let url = url.parse::<PostgresUrl>().map_err(|error: InvalidUrl| AttachError::Url(error))?;
        Postgres::start(url, how, self).await
    }

    pub(super) fn reach(&self, point: CommitPoint) -> Result<(), StoreError> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(point))
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { readers, queue, timeout, upkeep, hook } = self;
        f.debug_struct("PostgresOptions")
            .field("readers", readers)
            .field("queue", queue)
            .field("timeout", timeout)
            .field("upkeep", upkeep)
            .field("hook", &hook.is_some())
            .finish()
    }
}
