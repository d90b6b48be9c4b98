#![doc = include_str!("../README.md")]
#![cfg_attr(not(any(feature = "std", test)), no_std)]

extern crate alloc;

mod assignment;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "datagram")]
pub mod datagram;
mod error;
mod established;
mod frame;
#[cfg(feature = "hazmat")]
pub mod hazmat;
mod hello;
mod initiator;
mod level;
#[cfg(feature = "net")]
pub mod net;
pub mod noise;
mod path;
mod profile;
mod record;
mod responder;
mod suite;
mod ticket;
mod tickets;
#[cfg(test)]
mod vectors;

// The public interface is:
pub use assignment::{Assignment, MAX_APPLICATION_LEN, MAX_TTL, TicketId};
pub use error::AgreementError;
pub use established::{Context, Established};
pub use frame::{Deframer, FrameError, HEADER_LEN, Kind};
pub use hello::{Hello, MAX_SUITES, Refusal, Retried, VERSION};
pub use initiator::{
    Claim, Initiator, InitiatorBuilder, Pinned, Trust, Undecided, Unpinned, Unverified, Verified,
};
pub use level::{AnswerPayload, EarlyPayload, Level};
#[cfg(feature = "std")]
pub use profile::MemoryProfiles;
pub use profile::{Attempts, MAX_PROFILE_LEN, ProfileDigest, ProfileError, ProfileStore, ProfileVerifier};
pub use record::{MAX_RECORD_LEN, MAX_SESSION_MESSAGE_LEN, Opened, Opener, RecordError, Rekey, Sealer};
pub use responder::{Declined, GuessableKey, Received, Responder, Terms};
pub use suite::Suite;
pub use ticket::{Arrival, Challenged, ClaimError, MAX_PATHS, PATH_DEADLINE, PathId, Ticket, ticket_of};
pub use tickets::{Applicant, NoTicket, Source, TicketLimits, Tickets};
