#![doc = include_str!("../README.md")]

extern crate alloc;

mod calculation;
mod client;
mod folder;
mod protocol;
mod server;
mod service;
mod voucher;

// The public interface is:
pub use calculation::{Calculate, Calculation, MAX_NUMBERS, Operation};
pub use client::{
    Answer, Asked, Client, ClientError, Document, Follow, Letters, Order, OrderReply, PadClient, PadError,
    Pushed, Quote, RemoteDirectory,
};
pub use folder::{FolderError, ServerFolder};
pub use protocol::{Refusal, RefusalCode};
pub use server::{Books, Health, Limits, Operator, OperatorError, Rate, Server, ServerBuilder, ServerError};
pub use service::{Ask, Courier, Performed, Pieces, Process, ProcessPieces, Service, ServiceError};
pub use voucher::{InvalidPurchase, InvalidVoucher, Purchase, Voucher};
// The crates that this one composes, and what is used most of them:
pub use symbolon_agreement as agreement;
pub use symbolon_envelope as envelope;
pub use symbolon_keys as keys;
pub use symbolon_keys::{Id, Identity, IdentityFile, NoisePublicKey};
pub use symbolon_ledger as ledger;
pub use symbolon_store as store;
pub use symbolon_store::AnyStore;
pub use symbolon_table as table;

/// The samples of the workspace's README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
