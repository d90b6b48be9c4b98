use core::fmt;

use crate::header::{MAX_HEADER, MAX_STANZAS};

/// Why some bytes are not the header of an age v1 file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// They do not begin as an age file does.
    NotAge,
    /// It is an age file of a version that this crate does not read.
    Version,
    /// The bytes end inside the header.
    Truncated,
    /// A line does not follow the grammar, or is not canonical.
    Malformed,
    /// It exceeds [`MAX_HEADER`] bytes or [`MAX_STANZAS`] stanzas.
    TooLong,
    /// A stanza of a known type has the wrong number, form or length of arguments or body.
    Stanza,
    /// A context stanza is not the first stanza, or a `scrypt` stanza is not the only one.
    Misplaced,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAge => f.write_str("this is not an age file"),
            Self::Version => f.write_str("the age file has a version that this program does not read"),
            Self::Truncated => f.write_str("the file ends inside its header: fetch it again"),
            Self::Malformed => f.write_str("the header does not follow the age format"),
            Self::TooLong => write!(f, "the header exceeds {MAX_HEADER} bytes or {MAX_STANZAS} stanzas"),
            Self::Stanza => f.write_str("a stanza of the header is malformed"),
            Self::Misplaced => f.write_str("a stanza stands where its type may not"),
        }
    }
}

impl core::error::Error for HeaderError {}

/// What is wrong with an envelope's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextError {
    /// One was expected, and there is none.
    Missing,
    /// None was expected, and there is one.
    Unexpected,
    /// It is not the one that was expected: another record, owner, sequence, realm or policy.
    Mismatch,
    /// It is not authentic, or does not follow its format.
    Malformed,
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the envelope has no context, and one was expected",
            Self::Unexpected => "the envelope has a context, and none was expected",
            Self::Mismatch => "the envelope was made for another context than the expected one",
            Self::Malformed => "the context of the envelope is not authentic",
        })
    }
}

impl core::error::Error for ContextError {}

/// What is wrong with a payload. Whatever was released before is authentic, and is not the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadError {
    /// It ends before its final chunk: it was cut short, or its writer did not finish.
    Truncated,
    /// A chunk is not authentic: altered, out of order, or not the last though nothing follows.
    Rejected,
    /// Bytes follow the final chunk.
    Trailing,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the payload is cut short: fetch it again",
            Self::Rejected => "a chunk of the payload is not authentic",
            Self::Trailing => "bytes follow the end of the payload",
        })
    }
}

impl core::error::Error for PayloadError {}

/// Why an envelope does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The header is not one.
    Header(HeaderError),
    /// No stanza is for the given keys.
    NoMatch,
    /// The stanza for the given key travels the other way (C1): an envelope was reflected.
    Direction,
    /// The stanza is under a version of the server key below the minimum.
    Retired {
        /// The version of the stanza.
        version: u32,
    },
    /// The stanza is under a version of the server key that the ring does not have.
    UnknownVersion {
        /// The version of the stanza.
        version: u32,
    },
    /// A stanza is for the given key, and its wrap is not authentic.
    Rejected,
    /// The key is right, and the header was altered after it was made.
    HeaderMac,
    /// Opening asks for more work than the limit allows (the work factor of a `scrypt` stanza).
    TooCostly,
    /// The context is not what was expected.
    Context(ContextError),
    /// The payload is not whole or not authentic.
    Payload(PayloadError),
    /// It opens, and its policy asks not to write the plaintext into a file.
    ViewOnly,
}

impl OpenError {
    /// Whether another stanza of the same header may still open it.
    pub(crate) const fn is_passing(self) -> bool {
        matches!(self, Self::Direction | Self::Retired { .. } | Self::UnknownVersion { .. })
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => error.fmt(f),
            Self::NoMatch => f.write_str("no matching key: the envelope is for somebody else"),
            Self::Direction => f.write_str("the envelope was made for the other direction"),
            Self::Retired { version } => write!(f, "version {version} of the server key is retired"),
            Self::UnknownVersion { version } => {
                write!(f, "version {version} of the server key is not in the ring")
            }
            Self::Rejected => f.write_str("a wrapped key of the header is not authentic"),
            Self::HeaderMac => f.write_str("the header was altered"),
            Self::TooCostly => f.write_str("the passphrase was stretched with more work than the limit"),
            Self::Context(error) => error.fmt(f),
            Self::Payload(error) => error.fmt(f),
            Self::ViewOnly => f.write_str("the envelope is to be viewed only: show it, and keep no copy"),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Header(error) => Some(error),
            Self::Context(error) => Some(error),
            Self::Payload(error) => Some(error),
            _ => None,
        }
    }
}

impl From<HeaderError> for OpenError {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl From<ContextError> for OpenError {
    fn from(error: ContextError) -> Self {
        Self::Context(error)
    }
}

impl From<PayloadError> for OpenError {
    fn from(error: PayloadError) -> Self {
        Self::Payload(error)
    }
}

/// Why no envelope is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// There is nobody to make it for.
    NoRecipients,
    /// The header would exceed [`MAX_HEADER`] bytes or [`MAX_STANZAS`] stanzas.
    TooLong,
    /// Post-quantum and classical recipients, or a passphrase and anything else, do not go together: the weakest
    /// would open the envelope.
    Mixed,
    /// The parameters of the context are too long.
    Context,
    /// A recipient's public key gives no secret: it has low order.
    Recipient,
    /// The backend failed, or the payload is longer than the format can count.
    Failed,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecipients => f.write_str("name at least one recipient"),
            Self::TooLong => {
                write!(
                    f,
                    "too many recipients: at most {MAX_STANZAS} stanzas and {MAX_HEADER} bytes of header"
                )
            }
            Self::Mixed => f.write_str("these kinds of recipients cannot be mixed in one envelope"),
            Self::Context => f.write_str("the parameters of the context are too long"),
            Self::Recipient => f.write_str("a recipient's public key is not one that can be sealed to"),
            Self::Failed => f.write_str("sealing failed: the backend gave an error"),
        }
    }
}

impl core::error::Error for SealError {}

/// Why an envelope is not re-wrapped. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RewrapError {
    /// It does not open.
    Open(OpenError),
    /// It cannot be made for the new recipients.
    Seal(SealError),
}

impl fmt::Display for RewrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Seal(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RewrapError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::Seal(error) => Some(error),
        }
    }
}

impl From<OpenError> for RewrapError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<SealError> for RewrapError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}
