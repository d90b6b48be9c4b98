//! The Noise Protocol Framework, revision 34, with `hfs`: the raw handshake, for every pattern in its tables.
//!
//! [`Initiator`](crate::Initiator) and [`Responder`](crate::Responder) are built on this module and add what a
//! session needs: a pinned responder, downgrade protection, port assignment. Use the raw state for another protocol
//! that speaks Noise. The modules are named as in the specification.
//!
//! Two deviations, both refusals: an all-zero Diffie-Hellman result ends the handshake (Noise 12.1 allows it and
//! discourages it), and a remote *static* key must be in its canonical encoding, because it is an identity.
//!
//! ```
//! # #[cfg(feature = "net")] {
//! use symbolon_agreement::noise::{HandshakeState, Protocol, Role};
//! use symbolon_keys::OsRng;
//!
//! let protocol: Protocol = "Noise_NNhfs_25519+MLKEM768_ChaChaPoly_SHA256".parse()?;
//! let mut i = HandshakeState::builder(protocol, Role::Initiator).build()?;
//! let mut r = HandshakeState::builder(protocol, Role::Responder).build()?;
//! let m1 = i.write_message(b"", &mut OsRng)?;
//! r.read_message(&m1)?;
//! let m2 = r.write_message(b"", &mut OsRng)?;
//! i.read_message(&m2)?;
//! let (mut i, mut r) = (i.into_transport()?, r.into_transport()?);
//! let message = i.write_message(b"hello")?;
//! assert_eq!(r.read_message(&message)?, b"hello");
//! # }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod cipher_state;
mod error;
mod handshake_state;
mod pattern;
mod symmetric_state;
mod transport_state;

pub use cipher_state::CipherState;
pub use error::NoiseError;
pub use handshake_state::{HandshakeBuilder, HandshakeState, Role, StaticKey};
pub use pattern::{ParseProtocolError, Protocol};
pub use transport_state::{Exporter, TransportState};

pub(crate) use pattern::Pattern;

/// The most bytes of a Noise message, handshake or transport (Noise 3).
pub const MAX_MESSAGE_LEN: usize = 65_535;
