#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod approval;
#[cfg(feature = "conformance")]
pub mod conformance;
mod directory;
#[cfg(feature = "std")]
mod directory_server;
mod document;
mod error;
#[cfg(feature = "std")]
mod flight;
mod inbox;
mod letter;
#[cfg(feature = "std")]
mod mailbox;
#[cfg(feature = "std")]
mod memory;
mod message;
#[cfg(feature = "std")]
mod own;
mod padding;
mod pair;
#[cfg(feature = "std")]
mod peer;
#[cfg(feature = "std")]
mod policy;
mod possession;
mod record;
#[cfg(feature = "std")]
mod registrations;
mod screen;
mod store;
#[cfg(feature = "std")]
mod strangers;
#[cfg(feature = "std")]
mod table;

// The public interface is:
pub use approval::{
    Answer, Approval, ApprovalError, Approved, Approver, Consent, MAX_USER_INFO, SignedApproval, Verified,
};
pub use directory::{Directory, MAX_RECORDS};
#[cfg(feature = "std")]
pub use directory_server::{DirectoryServer, RegisterError};
pub use document::{ApprovalId, Currency, Document, MAX_DECIMALS, MAX_REFERENCE, MAX_TEXT};
pub use error::TableError;
pub use inbox::{Inbox, InboxError, Opened, Received};
pub use letter::{Delivery, Deposit, Full, Letter, Quota};
#[cfg(feature = "std")]
pub use mailbox::{Cursor, DepositError, MAX_PAGE, Mailbox, MailboxLimits, PollError, Subscription};
#[cfg(feature = "std")]
pub use memory::MemoryStore;
pub use message::{Header, MAX_MESSAGE_LEN, MessageId, open, seal};
pub use padding::{pad, unpad};
pub use pair::{PairRoot, Party};
#[cfg(feature = "std")]
pub use policy::{OnChange, Policy};
pub use possession::{Challenge, Challenger, Registration};
pub use record::{InvalidRecord, MAX_LINKED, PublicKeys, Record, RecordHash, Statement, verify_history};
#[cfg(feature = "std")]
pub use registrations::RegistrationLimits;
pub use screen::{Page, Screen};
pub use store::{ApprovalStore, DirectoryStore, InboxStore, MailboxStore, StoreError};
#[cfg(feature = "std")]
pub use table::{Clock, PeerState, Refreshed, SnapshotError, Table, TableBuilder};
