//! The initiator over TCP: first contact, change of port, claim.

use core::net::SocketAddr;
use std::io;

use symbolon_keys::{NoisePublicKey, OsRng};
use tokio::net::{TcpStream, ToSocketAddrs, lookup_host};
use tokio::time::timeout;

use super::clock::Clock;
use super::connection::{Connection, ReceiveError};
use super::error::{ConnectError, Stage};
use super::policy::Deadlines;
use super::session::Session;
use crate::assignment::Assignment;
use crate::frame::Kind;
use crate::initiator::{Claim, Initiator, InitiatorBuilder, Pinned};
use crate::noise::StaticKey;

/// A session with the holder of `server`, by hybrid XX, on the port that it assigns.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(
    addr: impl ToSocketAddrs,
    my_key: impl Into<StaticKey<'_>>,
    server: NoisePublicKey,
) -> Result<Session, ConnectError> {
    Connector::new(Initiator::xx(my_key).expect(server)).connect(addr).await
}

/// The first half of [`connect`]: the well-known port has answered and is free again; [`Assigned::connect`] goes on.
///
/// # Errors
/// [`ConnectError`].
pub async fn begin(
    addr: impl ToSocketAddrs,
    my_key: impl Into<StaticKey<'_>>,
    server: NoisePublicKey,
) -> Result<Assigned, ConnectError> {
    Connector::new(Initiator::xx(my_key).expect(server)).begin(addr).await
}

/// Connects with any pattern, suite and deadlines.
#[must_use]
#[derive(Debug)]
pub struct Connector<'k> {
    initiator: InitiatorBuilder<'k, Pinned>,
    deadlines: Deadlines,
}

impl<'k> Connector<'k> {
    /// Connects as `initiator` says.
    pub fn new(initiator: InitiatorBuilder<'k, Pinned>) -> Self {
        Self { initiator, deadlines: Deadlines::default() }
    }

    /// Changes how long each step may take.
    pub const fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// A session, on the port that the server assigns.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(self, addr: impl ToSocketAddrs) -> Result<Session, ConnectError> {
        self.begin(addr).await?.connect().await
    }

    /// The first half: up to the assignment, verified to come from the pinned server.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn begin(self, addr: impl ToSocketAddrs) -> Result<Assigned, ConnectError> {
        let Self { initiator, deadlines } = self;
        let mut connection = reach_any(addr, deadlines).await?;
        let stage = Stage::Answer;
        let server = connection.stream.peer_addr().map_err(|source| ConnectError::Io { stage, source })?;
        let mut initiator = initiator.start(&mut OsRng)?;
        let verified = loop {
            send(&mut connection, &initiator.message(), deadlines, stage).await?;
            let expected = [Kind::Second, Kind::Refusal];
            match receive(&mut connection, &expected, deadlines, stage).await? {
                (Kind::Refusal, refusal) => initiator = initiator.retry(&refusal, &mut OsRng)?,
                (_, m2) => break initiator.receive(&m2)?,
            }
        };
        let (claim, assignment) = verified.claim()?;
        tracing::debug!(%server, port = assignment.port().map(u16::from), "assigned");
        let connection = Some(connection).filter(|_| assignment.port().is_none());
        Ok(Assigned { claim, assignment, server, connection, deadlines })
    }
}

/// An assigned port, not yet claimed.
#[must_use]
#[derive(Debug)]
pub struct Assigned {
    claim: Claim,
    assignment: Assignment,
    server: SocketAddr,
    /// The first connection, where the assignment says to stay.
    connection: Option<Connection>,
    deadlines: Deadlines,
}

impl Assigned {
    /// The assignment.
    #[must_use]
    pub const fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// The claim as it goes over the wire, the same bytes every time.
    #[must_use]
    pub fn claim_message(&self) -> Vec<u8> {
        self.claim.message()
    }

    /// The address to go on at: the server's, with the assigned port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        // With all else that an address has: the scope of a link-local one.
        let mut address = self.server;
        if let Some(port) = self.assignment.port() {
            address.set_port(port.get());
        }
        address
    }

    /// The second half: claims the port, proves the path, and begins the session. Where the assigned port cannot be
    /// reached and the assignment allows it, the same claim is presented on the well-known port.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(mut self) -> Result<Session, ConnectError> {
        if let Some(connection) = self.connection.take() {
            return self.prove(connection, self.server.port()).await;
        }
        let assigned = self.address();
        match self.claim_at(assigned).await {
            // Once the path is proven, the claim may have been taken: another path would be refused.
            Err(error) if self.assignment.fallback() && !self.claim.is_proven() => {
                tracing::debug!(%assigned, %error, "falling back to the well-known port");
                self.claim_at(self.server).await
            }
            outcome => outcome,
        }
    }

    async fn claim_at(&mut self, addr: SocketAddr) -> Result<Session, ConnectError> {
        let connection = reach(addr, self.deadlines, Stage::Claim(addr.port())).await?;
        self.prove(connection, addr.port()).await
    }

    async fn prove(&mut self, mut connection: Connection, port: u16) -> Result<Session, ConnectError> {
        let stage = Stage::Claim(port);
        send(&mut connection, &self.claim.message(), self.deadlines, stage).await?;
        let (_, challenge) = receive(&mut connection, &[Kind::Challenge], self.deadlines, stage).await?;
        let (proof, established) = self.claim.answer(&challenge)?;
        send(&mut connection, &Kind::Proof.frame(&proof), self.deadlines, stage).await?;
        Session::new(connection, established, Clock::start())
            .map_err(|source| ConnectError::Io { stage, source })
    }
}

/// A connection to the first address of `addr` that takes one.
async fn reach_any(addr: impl ToSocketAddrs, deadlines: Deadlines) -> Result<Connection, ConnectError> {
    let stage = Stage::Connecting;
    let addresses = lookup_host(addr).await.map_err(|source| ConnectError::Io { stage, source })?;
    let mut failure = ConnectError::Io {
        stage,
        source: io::Error::new(io::ErrorKind::NotFound, "no address to connect to"),
    };
    for addr in addresses {
        match reach(addr, deadlines, stage).await {
            Ok(connection) => return Ok(connection),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn reach(addr: SocketAddr, deadlines: Deadlines, stage: Stage) -> Result<Connection, ConnectError> {
    match timeout(deadlines.connect, TcpStream::connect(addr)).await {
        Ok(Ok(stream)) => Ok(Connection::new(stream)),
        Ok(Err(source)) => Err(ConnectError::Io { stage, source }),
        Err(_) => Err(ConnectError::Timeout { stage }),
    }
}

async fn send(
    connection: &mut Connection,
    message: &[u8],
    deadlines: Deadlines,
    stage: Stage,
) -> Result<(), ConnectError> {
    let sent = connection.send(message, deadlines.message).await;
    sent.map_err(|source| ConnectError::Io { stage, source })
}

async fn receive(
    connection: &mut Connection,
    expected: &[Kind],
    deadlines: Deadlines,
    stage: Stage,
) -> Result<(Kind, Vec<u8>), ConnectError> {
    connection.receive(expected, deadlines.message, deadlines.message).await.map_err(|error| match error {
        ReceiveError::Io(source) => ConnectError::Io { stage, source },
        ReceiveError::Timeout => ConnectError::Timeout { stage },
        ReceiveError::Closed => ConnectError::Closed { stage },
        ReceiveError::Frame(source) => ConnectError::Frame { stage, source },
    })
}
