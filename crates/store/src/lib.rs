#![doc = include_str!("../README.md")]

extern crate alloc;

#[cfg(feature = "sqlite")]
mod any;
mod error;
#[cfg(feature = "faulty")]
#[cfg_attr(
    not(any(feature = "agreement", feature = "envelope", feature = "ledger", feature = "table")),
    allow(dead_code, reason = "a build without domains has no traits")
)]
pub mod faulty;
#[cfg(feature = "sqlite")]
#[cfg_attr(
    not(all(feature = "agreement", feature = "envelope", feature = "ledger", feature = "table")),
    allow(dead_code, reason = "each domain uses its part of the engine")
)]
mod sqlite;
#[cfg(feature = "sqlite")]
mod url;

// The public interface is:
#[cfg(feature = "sqlite")]
pub use any::AnyStore;
#[cfg(all(feature = "sqlite", feature = "envelope"))]
pub use any::AnyUpload;
pub use error::{AttachError, InvalidUrl, Restored, StoreError};
#[cfg(all(feature = "sqlite", feature = "envelope"))]
pub use sqlite::SqliteUpload;
#[cfg(feature = "sqlite")]
pub use sqlite::{CommitPoint, Options, Sqlite};
#[cfg(feature = "sqlite")]
pub use url::StoreUrl;
