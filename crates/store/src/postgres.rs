use alloc::sync::Arc;
use core::future::Future;

use crate::{AttachError, StoreError};

mod attach;
mod durability;
mod engine;
mod lane;
#[cfg(feature = "table")]
mod listen;
mod options;
mod place;
mod readers;
mod schema;
mod session;
mod sql;
mod upkeep;

#[cfg(feature = "agreement")]
mod agreement;
#[cfg(feature = "envelope")]
mod envelope;
#[cfg(feature = "ledger")]
mod ledger;
#[cfg(feature = "ledger")]
mod processes;
#[cfg(feature = "table")]
mod table;

pub use durability::Durability;
#[cfg(feature = "envelope")]
pub use envelope::PostgresUpload;
#[cfg(feature = "table")]
pub use listen::{Deposited, Deposits};
pub use options::PostgresOptions;
pub use place::PostgresUrl;
#[cfg(feature = "ledger")]
pub use processes::Peer;

use attach::Start;
use engine::Engine;
use lane::Lock;
use place::Place;
use session::Session;

/// A PostgreSQL database, for any number of processes.
///
/// A handle is cheap to clone; all handles share one connection that commits what concurrent callers ask for together,
/// and a few that read. They live on a thread of their own, so that any runtime may call. A call returns when what it
/// changed is durable on the server, and on its synchronous standby if it has one. Dropping its future cancels nothing.
///
/// # Security
/// A copy of a database must not go on where the original does: it would spend a pad twice, or accept a message twice.
/// `docs/postgres.md` says how [`Postgres::attach`] tells a copy, what it cannot see, and why pads are refused while
/// there are none but asynchronous standbys.
#[derive(Clone, Debug)]
pub struct Postgres {
    engine: Arc<Engine>,
}

impl Postgres {
    /// Makes the tables, in the schema `symbolon` of a database that exists, and attaches it.
    ///
    /// # Errors
    /// [`AttachError::Provisioned`] if they are there: nothing is overwritten.
    pub async fn provision(url: &str) -> Result<Self, AttachError> {
        PostgresOptions::default().provision(url).await
    }

    /// Attaches the database that was provisioned or attached last. Creates nothing.
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do; [`AttachError::RestoreRequired`] if it is, or may be, a copy.
    pub async fn attach(url: &str) -> Result<Self, AttachError> {
        PostgresOptions::default().attach(url).await
    }

    /// Attaches a database after a standby took over while no process had it attached: the operator vouches that the
    /// standby was a synchronous one. (A process that was attached sees for itself.)
    ///
    /// # Errors
    /// As for [`Postgres::attach`].
    pub async fn attach_after_failover(url: &str) -> Result<Self, AttachError> {
        PostgresOptions::default().attach_after_failover(url).await
    }

    /// Takes a backup, or any other copy, into use in the place of a database that is lost.
    ///
    /// # Security
    /// The original must never be used again. Pads in a restored database do not go on by themselves: what was sent
    /// since the copy was made is not in it.
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do.
    pub async fn attach_after_restore(url: &str) -> Result<Self, AttachError> {
        PostgresOptions::default().attach_after_restore(url).await
    }

    /// Brings a database that an older release wrote, and that nobody has attached, to the schema of this one.
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do; then nothing was changed.
    pub async fn upgrade(url: &str) -> Result<(), AttachError> {
        engine::apart(url.parse()?, |place: Place| async move {
            schema::upgrade(&Session::open(&place, None).await?).await
        })
        .await
    }

    /// What the loss of the server would cost, as its standbys stood when they were last looked at.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.engine.shared().durability()
    }

    /// News of the letters that any process deposits from now on, for whoever waits for mail. The first is always that
    /// some may have been missed.
    #[cfg(feature = "table")]
    #[must_use]
    pub fn deposits(&self) -> Deposits {
        self.engine.deposits()
    }

    /// Finishes what is queued and lets go of the database. Other handles then answer [`StoreError::Closed`].
    pub async fn close(self) {
        self.engine.close().await;
    }

    async fn start(url: PostgresUrl, how: Start, options: PostgresOptions) -> Result<Self, AttachError> {
        Ok(Self { engine: Arc::new(Engine::start(url, how, options).await?) })
    }

    async fn write<T, F, Fut>(&self, lock: Lock, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Arc<Session>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.engine.write(lock, work).await
    }

    async fn read<T, F, Fut>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Arc<Session>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.engine.read(work).await
    }
}
