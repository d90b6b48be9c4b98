use alloc::sync::Arc;
use core::fmt;
use std::path::Path;

use super::Sqlite;
use super::file::Start;
use crate::{AttachError, CommitPoint, StoreError};

/// How a database is attached; [`Sqlite::attach`] takes the defaults.
#[derive(Clone)]
pub struct Options {
    pub(super) readers: usize,
    pub(super) queue: usize,
    pub(super) max_size: Option<u64>,
    hook: Option<Arc<Hook>>,
}

type Hook = dyn Fn(CommitPoint) -> Result<(), StoreError> + Send + Sync;

impl Default for Options {
    fn default() -> Self {
        Self { readers: 2, queue: 4096, max_size: None, hook: None }
    }
}

impl Options {
    /// Connections that read beside the writer: 1 to 64, at first 2.
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

    /// The most bytes that the database may grow to; beyond it writes are refused as [`StoreError::Full`].
    #[must_use]
    pub const fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// Calls `hook` at every point of every commit, on the writer's thread. An error that it returns is what the
    /// file system might have said there: at [`CommitPoint::Begin`] the group fails with it, at every later point the
    /// outcome is [`StoreError::Unknown`].
    #[cfg(feature = "faulty")]
    #[must_use]
    pub fn on_commit<F>(mut self, hook: F) -> Self
    where
        F: Fn(CommitPoint) -> Result<(), StoreError> + Send + Sync + 'static,
    {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// [`Sqlite::provision`] with these options.
    ///
    /// # Errors
    /// As there.
    pub async fn provision(self, path: impl AsRef<Path>) -> Result<Sqlite, AttachError> {
        self.start(path.as_ref(), Start::Provision).await
    }

    /// [`Sqlite::attach`] with these options.
    ///
    /// # Errors
    /// As there.
    pub async fn attach(self, path: impl AsRef<Path>) -> Result<Sqlite, AttachError> {
        self.start(path.as_ref(), Start::Attach).await
    }

    /// [`Sqlite::attach_after_restore`] with these options.
    ///
    /// # Errors
    /// As there.
    pub async fn attach_after_restore(self, path: impl AsRef<Path>) -> Result<Sqlite, AttachError> {
        self.start(path.as_ref(), Start::AfterRestore).await
    }

    async fn start(self, path: &Path, how: Start) -> Result<Sqlite, AttachError> {
        Sqlite::start(path.to_path_buf(), how, self).await
    }

    pub(super) fn reach(&self, point: CommitPoint) -> Result<(), StoreError> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(point))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { readers, queue, max_size, hook } = self;
        f.debug_struct("Options")
            .field("readers", readers)
            .field("queue", queue)
            .field("max_size", max_size)
            .field("hook", &hook.is_some())
            .finish()
    }
}
