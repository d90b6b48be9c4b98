#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod approval;
#[cfg(feature = "conformance")]
pub mod conformance;
mod letter;
#[cfg(feature = "std")]
mod memory;
mod message;
mod pair;
mod record;
mod store;

// The public interface is:
pub use approval::ApprovalId;
pub use letter::{Delivery, Deposit, Full, Letter, Quota};
#[cfg(feature = "std")]
pub use memory::MemoryStore;
pub use message::{Header, MAX_MESSAGE_LEN, MessageId, open, seal};
pub use pair::{PairRoot, Party};
pub use record::{InvalidRecord, MAX_LINKED, PublicKeys, Record, RecordHash, Statement};
pub use store::{ApprovalStore, DirectoryStore, InboxStore, MailboxStore, StoreError};
