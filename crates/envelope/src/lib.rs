#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "conformance")]
pub mod conformance;
mod header;
#[cfg(feature = "std")]
mod memory;
mod records;
mod user_keys;

// The public interface is:
pub use header::MAX_HEADER;
#[cfg(feature = "std")]
pub use memory::{MemoryRecords, MemoryUpload, MemoryUserKeys};
pub use records::{Change, Payload, PayloadId, Record, RecordId, Records, Upload};
pub use user_keys::{Derivation, UserKeyRow, UserKeyStore, UserState};
