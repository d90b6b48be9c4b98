use alloc::sync::Arc;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::{AttachError, StoreError};

mod connection;
mod engine;
mod file;
mod guard;
mod options;
mod reader;
mod schema;
mod upkeep;
mod writer;

#[cfg(feature = "agreement")]
mod agreement;
#[cfg(feature = "envelope")]
mod envelope;
#[cfg(feature = "ledger")]
mod ledger;
#[cfg(any(feature = "agreement", feature = "envelope", feature = "ledger", feature = "table"))]
mod sql;
#[cfg(feature = "table")]
mod table;

#[cfg(feature = "envelope")]
pub use envelope::SqliteUpload;
pub use options::Options;

use engine::Engine;
use file::Start;

/// A database in one file, for one process.
///
/// A handle is cheap to clone; all handles share one writer, which commits what concurrent callers ask for together,
/// and a few readers. A call returns when what it changed is on the disk. Dropping its future cancels nothing.
///
/// # Security
/// A copy of a database must not go on where the original does: it would spend a pad twice, or accept a message twice.
/// [`Sqlite::attach`] therefore refuses whatever it cannot tell from a copy; `docs/store.md` says how it tells, and what
/// it cannot see.
#[derive(Clone, Debug)]
pub struct Sqlite {
    engine: Arc<Engine>,
}

impl Sqlite {
    /// Creates a database where there is none, mode 0600, and attaches it.
    ///
    /// It is made under a temporary name and gets its own when it is whole and on the disk.
    ///
    /// # Errors
    /// [`AttachError::Exists`] if there is a file, or what an earlier database left beside it: nothing is overwritten.
    pub async fn provision(path: impl AsRef<Path>) -> Result<Self, AttachError> {
        Options::default().provision(path).await
    }

    /// Attaches the database that this machine used last under this path. Creates nothing.
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do; [`AttachError::RestoreRequired`] if it is, or may be, a copy.
    pub async fn attach(path: impl AsRef<Path>) -> Result<Self, AttachError> {
        Options::default().attach(path).await
    }

    /// Takes a backup, or any other copy, into use in the place of a database that is lost.
    ///
    /// # Security
    /// The original must never be used again. Pads in a restored database do not go on by themselves: what was sent
    /// since the copy was made is not in it.
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do.
    pub async fn attach_after_restore(path: impl AsRef<Path>) -> Result<Self, AttachError> {
        Options::default().attach_after_restore(path).await
    }

    /// Brings a database that an older release wrote, and that nobody has attached, to the schema of this one.
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do; then nothing was changed.
    pub async fn upgrade(path: impl AsRef<Path>) -> Result<(), AttachError> {
        engine::apart(path.as_ref().to_path_buf(), |path| file::upgrade(&path)).await
    }

    /// The file, without links on the way to it.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.engine.path()
    }

    /// Finishes what is queued and lets go of the file. Other handles then answer [`StoreError::Closed`].
    pub async fn close(self) {
        self.engine.close().await;
    }

    async fn start(path: PathBuf, how: Start, options: Options) -> Result<Self, AttachError> {
        Ok(Self { engine: Arc::new(Engine::start(path, how, options).await?) })
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.engine.write(work).await
    }

    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.engine.read(work).await
    }
}

/// The file called as `path` with `suffix` after it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
