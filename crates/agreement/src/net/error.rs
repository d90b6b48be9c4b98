use core::fmt;
use std::io;

use crate::error::AgreementError;
use crate::frame::FrameError;
use crate::record::RecordError;

/// Why a listener did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The well-known port could not be bound.
    Io(io::Error),
    /// A port for each session is for suites whose first message proves the initiator (IK, KK) only: anybody else
    /// could use up all ports.
    PerSessionNeedsProof,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the well-known port cannot be bound: {error}"),
            Self::PerSessionNeedsProof => f.write_str(
                "a port for each session needs suites whose first message proves the initiator (IK, KK): take a pool, \
                 or those suites",
            ),
        }
    }
}

impl core::error::Error for BindError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::PerSessionNeedsProof => None,
        }
    }
}

impl From<io::Error> for BindError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How far a connection had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Connecting to the well-known port.
    Connecting,
    /// Waiting there for the second message.
    Answer,
    /// Presenting the claim, on this port.
    Claim(u16),
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting to the well-known port"),
            Self::Answer => f.write_str("waiting for the server's answer"),
            Self::Claim(port) => write!(f, "presenting the claim on port {port}"),
        }
    }
}

/// Why no session came about.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The network failed.
    Io {
        /// How far the connection had come.
        stage: Stage,
        /// What the operating system said.
        source: io::Error,
    },
    /// The other end took too long.
    Timeout {
        /// How far the connection had come.
        stage: Stage,
    },
    /// The other end closed the connection.
    Closed {
        /// How far the connection had come.
        stage: Stage,
    },
    /// The other end speaks something else.
    Frame {
        /// How far the connection had come.
        stage: Stage,
        /// What came instead.
        source: FrameError,
    },
    /// The handshake failed.
    Agreement(AgreementError),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { stage, source } => write!(f, "{stage}: {source}"),
            Self::Timeout { stage: stage @ Stage::Claim(_) } => {
                write!(f, "{stage}: no answer in time; does a firewall close the server's assigned ports?")
            }
            Self::Timeout { stage } => write!(f, "{stage}: no answer in time"),
            Self::Closed { stage: stage @ Stage::Answer } => write!(
                f,
                "{stage}: the server closed the connection; it is at its limits, or it does not accept the first \
                 message (is the pinned server key the right one?)"
            ),
            Self::Closed { stage } => write!(f, "{stage}: the server closed the connection; connect again"),
            Self::Frame { stage, source } => write!(f, "{stage}: {source}"),
            Self::Agreement(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Frame { source, .. } => Some(source),
            Self::Agreement(error) => Some(error),
            Self::Timeout { .. } | Self::Closed { .. } => None,
        }
    }
}

impl From<AgreementError> for ConnectError {
    fn from(error: AgreementError) -> Self {
        Self::Agreement(error)
    }
}

/// Why a session did not carry a message.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// The network failed.
    Io(io::Error),
    /// The connection ended without the authenticated end of the stream: somebody cut it, or the other end died.
    /// Messages may be missing.
    Truncated,
    /// A record was not taken, or cannot be made.
    Record(RecordError),
    /// Something that is no record came.
    Frame(FrameError),
    /// An earlier send was dropped in the middle of a message of several records.
    Interrupted,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Truncated => f.write_str(
                "the connection ended without the authenticated end of the session: messages may be missing; connect \
                 again and ask what has arrived",
            ),
            Self::Record(error) => error.fmt(f),
            Self::Frame(error) => error.fmt(f),
            Self::Interrupted => f.write_str(
                "an earlier send was dropped in the middle of a long message: nothing can be sent any more",
            ),
        }
    }
}

impl core::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Record(error) => Some(error),
            Self::Frame(error) => Some(error),
            Self::Truncated | Self::Interrupted => None,
        }
    }
}

impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<RecordError> for SessionError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<FrameError> for SessionError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}
