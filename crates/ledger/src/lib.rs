#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod account;
mod amount;
pub mod apply;
mod batch;
#[cfg(feature = "conformance")]
pub mod conformance;
mod frame;
mod id;
mod journal;
mod lane;
#[cfg(feature = "std")]
mod memory;
mod state;
mod store;
mod transfer;

// The public interface is:
pub use account::{AccountRow, Side};
pub use amount::Amount;
pub use batch::{Batch, Fence, Op, Outcome, Refusal, Refused};
pub use frame::MAX_FRAME;
pub use id::{AccountId, BatchId, Generation, Instance, OutboxId, OwnerId, PadId, RequestId, TransferId};
pub use journal::{Entry, Event, Head, JournalFault, Verifier};
#[cfg(feature = "std")]
pub use memory::{Fault, MemoryStore, MemoryTables};
pub use state::{Lease, OutboxEntry, PadMode, PadRow, PadStatus, ReceiveRow, RequestRow, SendRow};
pub use store::{CommitError, LedgerStore, StorageError};
pub use transfer::{Transfer, TransferKind, TransferRow};
