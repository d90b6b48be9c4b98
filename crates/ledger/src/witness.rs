//! The witness of reservations (C3w, `docs/witness.md`): the messages, and the two ends of a session.
//!
//! Nothing here touches a ledger: [`Pad`](crate::Pad) commits what must be durable before the next message leaves.

mod message;
mod session;

pub use message::{Body, Reserved};
pub use session::{Advice, OwnerSession, WitnessSession};
