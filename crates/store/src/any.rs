use core::str::FromStr;

#[cfg(feature = "postgres")]
use crate::Postgres;
#[cfg(feature = "sqlite")]
use crate::Sqlite;
use crate::{AttachError, StoreUrl};

/// Calls a trait's method on whichever store this is.
#[allow(unused_macros, reason = "a build without domains has no traits")]
macro_rules! on {
    ($any:expr, $method:path $(, $argument:expr)*) => {
        match $any {
            #[cfg(feature = "postgres")]
            AnyStore::Postgres(store) => $method(store $(, $argument)*).await,
            #[cfg(feature = "sqlite")]
            AnyStore::Sqlite(store) => $method(store $(, $argument)*).await,
        }
    };
}

#[cfg(feature = "agreement")]
mod agreement;
#[cfg(feature = "envelope")]
mod envelope;
#[cfg(feature = "ledger")]
mod ledger;
#[cfg(feature = "table")]
mod table;

#[cfg(feature = "envelope")]
pub use envelope::AnyUpload;

/// A store whose engine is chosen when the program runs. It is every trait's store, as the engine itself is.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # async fn run() -> Result<(), symbolon_store::AttachError> {
/// use symbolon_store::AnyStore;
///
/// AnyStore::provision("sqlite:./exchange.db").await?.close().await; // once
/// let store = AnyStore::attach("sqlite:./exchange.db").await?; // at every start
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AnyStore {
    /// On a PostgreSQL server.
    #[cfg(feature = "postgres")]
    Postgres(Postgres),
    /// In one file.
    #[cfg(feature = "sqlite")]
    Sqlite(Sqlite),
}

impl AnyStore {
    /// Creates the store that `url` names, where there is none, and attaches it: see `Sqlite::provision`,
    /// `Postgres::provision`.
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do.
    pub async fn provision(url: &str) -> Result<Self, AttachError> {
        match StoreUrl::from_str(url)? {
            #[cfg(feature = "postgres")]
            StoreUrl::Postgres(_) => Ok(Self::Postgres(Postgres::provision(url).await?)),
            #[cfg(feature = "sqlite")]
            StoreUrl::Sqlite(path) => Ok(Self::Sqlite(Sqlite::provision(path).await?)),
        }
    }

    /// Attaches the store that `url` names: see `Sqlite::attach`,
    /// `Postgres::attach`. Creates nothing.
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do.
    pub async fn attach(url: &str) -> Result<Self, AttachError> {
        match StoreUrl::from_str(url)? {
            #[cfg(feature = "postgres")]
            StoreUrl::Postgres(_) => Ok(Self::Postgres(Postgres::attach(url).await?)),
            #[cfg(feature = "sqlite")]
            StoreUrl::Sqlite(path) => Ok(Self::Sqlite(Sqlite::attach(path).await?)),
        }
    }

    /// Takes a backup, or any other copy, into use: see
    /// `Sqlite::attach_after_restore`, `Postgres::attach_after_restore`.
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do.
    pub async fn attach_after_restore(url: &str) -> Result<Self, AttachError> {
        match StoreUrl::from_str(url)? {
            #[cfg(feature = "postgres")]
            StoreUrl::Postgres(_) => Ok(Self::Postgres(Postgres::attach_after_restore(url).await?)),
            #[cfg(feature = "sqlite")]
            StoreUrl::Sqlite(path) => Ok(Self::Sqlite(Sqlite::attach_after_restore(path).await?)),
        }
    }

    /// Finishes what is queued and lets go of the store.
    pub async fn close(self) {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.close().await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store.close().await,
        }
    }
}

#[cfg(feature = "postgres")]
impl From<Postgres> for AnyStore {
    fn from(store: Postgres) -> Self {
        Self::Postgres(store)
    }
}

#[cfg(feature = "sqlite")]
impl From<Sqlite> for AnyStore {
    fn from(store: Sqlite) -> Self {
        Self::Sqlite(store)
    }
}
