#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "tokio")]
mod aio;
mod armor;
#[cfg(feature = "std")]
mod armor_io;
#[cfg(feature = "std")]
mod batch;
mod change;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
#[cfg(feature = "std")]
mod custodian;
#[cfg(feature = "passphrase")]
mod derive;
mod error;
mod expect;
#[cfg(feature = "std")]
mod file;
mod file_key;
mod header;
mod hybrid;
#[cfg(feature = "std")]
mod io;
mod joint;
mod key_string;
#[cfg(feature = "std")]
mod memory;
mod open;
mod payload;
mod records;
mod rewrap;
#[cfg(feature = "passphrase")]
mod scrypt;
mod seal;
#[cfg(feature = "std")]
mod seek;
mod server_keys;
mod shared_key;
mod stanza;
mod user_keys;
mod wrap;
mod x25519;

// The public interface is:
#[cfg(feature = "passphrase")]
pub use self::scrypt::ScryptKey;
#[cfg(feature = "tokio")]
pub use aio::{AsyncOpener, AsyncSealer};
pub use armor::{ArmorError, ArmorReader, ArmorWriter, armor, dearmor, is_armored};
#[cfg(feature = "std")]
pub use armor_io::{Armor, Dearmor};
pub use context::{Context, Policy};
#[cfg(feature = "std")]
pub use custodian::{
    Custodian, CustodianError, Delivery, Event, MAX_PROCESSED, Processing, Receipt, Receiving, Refusal,
    RewrapJob,
};
#[cfg(feature = "passphrase")]
pub use derive::{AccountSecret, DeriveError};
pub use error::{ContextError, HeaderError, OpenError, PayloadError, RewrapError, SealError};
pub use expect::Expect;
#[cfg(feature = "std")]
pub use file::NewFile;
pub use file_key::FileKey;
pub use header::{Header, HeaderReader, MAX_HEADER, MAX_STANZAS};
pub use hybrid::{HYBRID_PUBLIC_LEN, HybridPublicKey, HybridSecretKey};
#[cfg(feature = "std")]
pub use io::{MAX_THREADS, Opener, Sealer};
pub use joint::{Binding, Company, Identity, Recipient};
pub use key_string::{AgeIdentity, AgeRecipient, InvalidKeyString};
#[cfg(feature = "std")]
pub use memory::{MemoryRecords, MemoryUpload, MemoryUserKeys};
pub use open::{Open, OpenStream, Opened, open};
pub use payload::{CHUNK, PayloadOpener, PayloadSealer, payload_len};
pub use records::{Change, Payload, PayloadId, Record, RecordId, Records, Upload};
pub use rewrap::Rewrap;
pub use seal::Seal;
#[cfg(feature = "std")]
pub use seal::seal;
#[cfg(feature = "std")]
pub use seek::SeekOpener;
pub use server_keys::{RingError, ServerKey, ServerKeys};
pub use shared_key::{SharedKey, UserKey};
pub use stanza::Stanza;
pub use user_keys::{Derivation, UserKeyRow, UserKeyStore, UserParameters, UserState};
