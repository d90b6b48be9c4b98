#![doc = include_str!("../README.md")]

extern crate alloc;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod any;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod commit_point;
mod error;
#[cfg(feature = "faulty")]
#[cfg_attr(
    not(any(feature = "agreement", feature = "envelope", feature = "ledger", feature = "table")),
    allow(dead_code, reason = "a build without domains has no traits")
)]
pub mod faulty;
#[cfg(feature = "postgres")]
#[cfg_attr(
    not(all(feature = "agreement", feature = "envelope", feature = "ledger", feature = "table")),
    allow(dead_code, reason = "each domain uses its part of the engine")
)]
mod postgres;
#[cfg(feature = "sqlite")]
#[cfg_attr(
    not(all(feature = "agreement", feature = "envelope", feature = "ledger", feature = "table")),
    allow(dead_code, reason = "each domain uses its part of the engine")
)]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod url;

// The public interface is:
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use any::AnyStore;
#[cfg(all(any(feature = "postgres", feature = "sqlite"), feature = "envelope"))]
pub use any::AnyUpload;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use commit_point::CommitPoint;
pub use error::{AttachError, InvalidUrl, Restored, StoreError};
#[cfg(all(feature = "postgres", feature = "ledger"))]
pub use postgres::Peer;
#[cfg(all(feature = "postgres", feature = "envelope"))]
pub use postgres::PostgresUpload;
#[cfg(all(feature = "postgres", feature = "table"))]
pub use postgres::{Deposited, Deposits};
#[cfg(feature = "postgres")]
pub use postgres::{Durability, Postgres, PostgresOptions, PostgresUrl};
#[cfg(all(feature = "sqlite", feature = "envelope"))]
pub use sqlite::SqliteUpload;
#[cfg(feature = "sqlite")]
pub use sqlite::{Options, Sqlite};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use url::StoreUrl;
