//! The client: what a user's program does with one session to a server.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use symbolon_agreement::net::{self, Assigned, ConnectError, Session, SessionError};
use symbolon_keys::{Id, Identity, NoisePublicKey};
use symbolon_table::{ApprovalError, TableError};
use tokio::net::ToSocketAddrs;

use crate::protocol::{Refusal, RefusalCode, Reply, Request};

mod approvals;
mod directory;
mod documents;
mod follow;
pub(crate) mod link;
mod mail;
mod pads;
mod purchase;

pub use approvals::{Asked, Order, OrderReply};
pub use directory::RemoteDirectory;
pub use documents::Document;
pub use follow::Follow;
pub use mail::{Letters, Pushed};
pub use pads::{Answer, PadClient, PadError, Quote};

use link::{Link, unexpected};

/// A client with one session. Its methods take `&self`; requests go out one after the other.
///
/// ```no_run
/// # async fn example(server_key: symbolon::NoisePublicKey) -> Result<(), Box<dyn std::error::Error>> {
/// use symbolon::{Client, IdentityFile};
///
/// let identity = IdentityFile::at("alice.identity").read()?;
/// let client = Client::connect("exchange.example:7000", &identity, server_key).await?;
/// client.register("alice".parse()?, &identity).await?;
/// client.login("alice".parse()?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Client {
    link: Arc<Link>,
    port: u16,
}

impl Client {
    /// Connects to the well-known port at `addr`, changes to the port that the server assigns, and has a session in
    /// which the server proved that it holds `server`.
    ///
    /// # Errors
    /// [`ClientError::Connect`] says at which stage it failed.
    pub async fn connect(
        addr: impl ToSocketAddrs,
        identity: &Identity,
        server: NoisePublicKey,
    ) -> Result<Self, ClientError> {
        Ok(Self::over(net::connect(addr, &identity.noise_key(), server).await?))
    }

    /// The second half of [`Self::connect`], for a program that did the first by itself ([`net::begin`]).
    ///
    /// # Errors
    /// As for [`Self::connect`].
    pub async fn claim(assigned: Assigned) -> Result<Self, ClientError> {
        Ok(Self::over(assigned.connect().await?))
    }

    /// A client over a session that exists.
    #[must_use]
    pub fn over(session: Session) -> Self {
        let port = session.peer_addr().port();
        Self { link: Arc::new(Link::new(session)), port }
    }

    /// How long the server may take for each answer, and each piece of one: 90 seconds if nothing is said. After that the
    /// request fails with [`ClientError::TimedOut`]. What is [pushed](Pushed::next) may take longer.
    pub async fn set_deadline(&self, answer: Duration) {
        self.link.set_patience(answer).await;
    }

    /// The server's port that this session is on: the assigned one.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Tells the server who this is. It believes it because this session proved the Noise key of the user's record.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the directory's newest record of `id` names another key.
    pub async fn login(&self, id: Id) -> Result<(), ClientError> {
        self.done(Request::Login(id)).await
    }

    /// Has profile data compared with what the server stored earlier (A7).
    ///
    /// # Errors
    /// [`ClientError::Refused`] if they differ; the server ends the session then.
    pub async fn verify_profile(&self, profile: &[u8]) -> Result<(), ClientError> {
        self.done(Request::VerifyProfile(profile.to_vec())).await
    }

    /// Ends the session in order: the server knows that nothing was cut off.
    ///
    /// # Errors
    /// [`ClientError::Busy`] if a directory, a pad or a table still uses it; [`ClientError::Session`].
    pub async fn close(self) -> Result<(), ClientError> {
        match Arc::into_inner(self.link) {
            Some(link) => link.into_wire().close().await,
            None => Err(ClientError::Busy),
        }
    }

    async fn done(&self, request: Request) -> Result<(), ClientError> {
        match self.link.ask(request).await? {
            Reply::Done => Ok(()),
            other => unexpected(&other),
        }
    }
}

/// Why a request of a client failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// No session could be had.
    Connect(ConnectError),
    /// The session failed.
    Session(SessionError),
    /// The server ended the session in order.
    Closed,
    /// The server did not answer for so long. What was asked may have been done.
    TimedOut(Duration),
    /// The server refused; nothing was done.
    Refused(Refusal),
    /// The id is registered with other keys.
    Taken(Id),
    /// An order was not approved, or what says so does not hold.
    Approval(ApprovalError),
    /// A message could not be sealed, or its sender's record not be had.
    Table(TableError),
    /// The server does not follow the protocol.
    Protocol(&'static str),
    /// An earlier request was dropped before its answer came, or failed half-way.
    Interrupted,
    /// Something else still uses the session.
    Busy,
    /// A file, or what the caller reads from or writes to, failed.
    Io(std::io::Error),
    /// What is sent or received does not hold by itself: a record, an envelope, a bundle.
    Invalid(Box<dyn core::error::Error + Send + Sync>),
}

impl ClientError {
    /// Whether the same may succeed over another session, later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connect(ConnectError::Agreement(_)) => false,
            Self::Connect(_) | Self::Session(_) | Self::Closed | Self::TimedOut(_) | Self::Interrupted => {
                true
            }
            Self::Refused(refusal) => refusal.code() == RefusalCode::Unavailable,
            Self::Table(error) => matches!(error, TableError::Unavailable(_) | TableError::Busy),
            Self::Approval(ApprovalError::Store(error)) => error.is_retryable(),
            _ => false,
        }
    }

    /// After how long the same may succeed, if the server said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after(),
            _ => None,
        }
    }

    pub(crate) fn invalid(error: impl core::error::Error + Send + Sync + 'static) -> Self {
        Self::Invalid(Box::new(error))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
            Self::Closed => f.write_str("the server ended the session: connect again"),
            Self::TimedOut(limit) => {
                write!(f, "the server did not answer within {limit:?}: connect again, and ask again")
            }
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Taken(id) => {
                write!(
                    f,
                    "{id} is registered with other keys: choose another id, or change the keys with the old ones"
                )
            }
            Self::Approval(error) => error.fmt(f),
            Self::Table(error) => error.fmt(f),
            Self::Protocol(what) => write!(f, "the server sent {what}: is it of another release?"),
            Self::Interrupted => {
                f.write_str("an earlier request on this session was dropped before its answer: connect again")
            }
            Self::Busy => {
                f.write_str("the session is still in use: drop the directory and pads made from it first")
            }
            Self::Io(error) => error.fmt(f),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Session(error) => Some(error),
            Self::Refused(refusal) => Some(refusal),
            Self::Approval(error) => Some(error),
            Self::Table(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Invalid(error) => Some(&**error),
            Self::Closed
            | Self::TimedOut(_)
            | Self::Taken(_)
            | Self::Protocol(_)
            | Self::Interrupted
            | Self::Busy => None,
        }
    }
}

impl From<ConnectError> for ClientError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<SessionError> for ClientError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<ApprovalError> for ClientError {
    fn from(error: ApprovalError) -> Self {
        Self::Approval(error)
    }
}

impl From<TableError> for ClientError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

impl From<std::io::Error> for ClientError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
