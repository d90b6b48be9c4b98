use core::str::FromStr;

use crate::{AttachError, Sqlite, StoreUrl};

/// Calls a trait's method on whichever store this is.
#[allow(unused_macros, reason = "a build without domains has no traits")]
macro_rules! on {
    ($any:expr, $method:path $(, $argument:expr)*) => {
        match $any {
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
    /// In one file.
    Sqlite(Sqlite),
}

impl AnyStore {
    /// Creates the store that `url` names, where there is none, and attaches it: see [`Sqlite::provision`].
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do.
    pub async fn provision(url: &str) -> Result<Self, AttachError> {
        match StoreUrl::from_str(url)? {
            StoreUrl::Sqlite(path) => Ok(Self::Sqlite(Sqlite::provision(path).await?)),
        }
    }

    /// Attaches the store that `url` names: see [`Sqlite::attach`]. Creates nothing.
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do.
    pub async fn attach(url: &str) -> Result<Self, AttachError> {
        match StoreUrl::from_str(url)? {
            StoreUrl::Sqlite(path) => Ok(Self::Sqlite(Sqlite::attach(path).await?)),
        }
    }

    /// Takes a backup, or any other copy, into use: see [`Sqlite::attach_after_restore`].
    ///
    /// # Errors
    /// [`AttachError`] says what is wrong and what to do.
    pub async fn attach_after_restore(url: &str) -> Result<Self, AttachError> {
        match StoreUrl::from_str(url)? {
            StoreUrl::Sqlite(path) => Ok(Self::Sqlite(Sqlite::attach_after_restore(path).await?)),
        }
    }

    /// Finishes what is queued and lets go of the store.
    pub async fn close(self) {
        match self {
            Self::Sqlite(store) => store.close().await,
        }
    }
}

impl From<Sqlite> for AnyStore {
    fn from(store: Sqlite) -> Self {
        Self::Sqlite(store)
    }
}
