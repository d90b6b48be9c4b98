#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod account;
mod amount;
pub mod apply;
mod batch;
#[cfg(feature = "std")]
pub mod bundle;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod frame;
mod id;
#[cfg(feature = "std")]
mod issue;
mod journal;
pub mod lane;
#[cfg(feature = "std")]
pub mod material;
#[cfg(feature = "std")]
mod memory;
#[cfg(feature = "std")]
mod pad;
#[cfg(feature = "qkd")]
pub mod qkd;
mod refusal;
pub mod sequence;
#[cfg(feature = "std")]
mod source;
mod state;
mod store;
mod tariff;
mod transfer;
pub mod witness;

// The public interface is:
pub use account::{AccountRow, Side};
pub use amount::Amount;
pub use batch::{Batch, Fence, Op, Outcome};
pub use frame::MAX_FRAME;
pub use id::{AccountId, BatchId, Generation, Instance, OutboxId, OwnerId, PadId, RequestId, TransferId};
#[cfg(feature = "std")]
pub use issue::{Issue, IssueError, PadSink};
pub use journal::{Entry, Event, Head, JournalFault, Verifier};
#[cfg(feature = "std")]
pub use material::{
    Claim, Erased, FileSink, Folder, MaterialError, MemoryMaterial, PadHalf, PadHeader, PadMaterial,
    SinglePad, Stage,
};
#[cfg(feature = "std")]
pub use memory::{Fault, MemoryStore, MemoryTables};
#[cfg(feature = "std")]
pub use pad::{Message, Pad, PadError, Policy, Provision, Remaining, Restored, Seal, WitnessLink};
pub use refusal::{Refusal, Refused};
pub use sequence::Rekey;
#[cfg(feature = "std")]
pub use source::{GeneratorSource, Physical, ReaderSource, Source, SourceError};
pub use state::{Lease, OutboxEntry, PadMode, PadRow, PadStatus, ReceiveRow, RequestRow, SendRow};
pub use store::{CommitError, LedgerStore, StorageError};
pub use tariff::Tariff;
pub use transfer::{Transfer, TransferKind, TransferRow};
