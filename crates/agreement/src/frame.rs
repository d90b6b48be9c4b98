//! Messages on a byte stream: `u8 type || u16 length || body` (C5).

use alloc::vec::Vec;
use core::fmt;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// Hello and first handshake message.
    First = 1,
    /// Second handshake message, with the assignment in it.
    Second = 2,
    /// The suites that the responder takes.
    Refusal = 3,
    /// A stateless cookie (datagrams only).
    Cookie = 4,
    /// A ticket and the message that claims it.
    Claim = 5,
    /// The responder's half of the path proof.
    Challenge = 6,
    /// The initiator's half of the path proof.
    Proof = 7,
    /// A record of the session.
    Record = 8,
}

/// Bytes before a body.
pub const HEADER_LEN: usize = 3;

impl Kind {
    /// The longest body of this kind. Nobody allocates for more before it has proven anything.
    #[must_use]
    pub const fn max_len(self) -> usize {
        match self {
            // A hello, a hybrid m1 of IK (1,296 bytes) and 4 KiB of early payload.
            Self::First => 6 * 1024,
            // A hybrid m2 (1,200 bytes), and an assignment with 4 KiB of application data.
            Self::Second => 6 * 1024,
            Self::Refusal => 1 + 2 * crate::hello::MAX_SUITES,
            Self::Cookie => 24,
            // Ticket, length, m3 (64 bytes).
            Self::Claim => 18 + 64,
            Self::Challenge => 32,
            Self::Proof => 16,
            Self::Record => crate::noise::MAX_MESSAGE_LEN,
        }
    }

    /// The whole message with this `body`.
    #[must_use]
    pub fn frame(self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len().saturating_add(HEADER_LEN));
        out.extend_from_slice(&self.header(body.len()));
        out.extend_from_slice(body);
        out
    }

    pub(crate) const fn header(self, len: usize) -> [u8; HEADER_LEN] {
        #[expect(clippy::cast_possible_truncation, reason = "no body is longer than 65,535 bytes")]
        let [high, low] = (len as u16).to_be_bytes();
        [self as u8, high, low]
    }
}

/// The stream is not a sequence of the messages that may come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A message of a type that may not come now; its number.
    Unexpected(u8),
    /// A message is longer than its type allows.
    TooLong,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected(kind) => {
                write!(f, "a message of type {kind} may not come now: is the other end another program?")
            }
            Self::TooLong => f.write_str("a message is longer than its type allows"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Cuts a byte stream into messages, in one buffer that grows to what the expected kinds allow and no further.
///
/// Append what arrives with [`Self::feed`]; take messages with [`Self::next`] until it has none.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    /// Where the first message not handed out begins.
    start: usize,
}

impl Deframer {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), start: 0 }
    }

    /// Appends bytes from the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message, if one of the kinds `expected` has arrived in full; none if bytes are missing.
    ///
    /// The body may be changed in place. It is gone with the next call.
    ///
    /// # Errors
    /// [`FrameError`] as soon as a header shows it; then the stream is of no further use.
    pub fn next(&mut self, expected: &[Kind]) -> Result<Option<(Kind, &mut [u8])>, FrameError> {
        let Some((kind, end)) = self.peek(expected)? else {
            self.compact();
            return Ok(None);
        };
        let body = self.start.saturating_add(HEADER_LEN);
        self.start = end;
        Ok(self.buffer.get_mut(body..end).map(|body| (kind, body)))
    }

    /// Whether bytes of a message have arrived that is not complete.
    #[must_use]
    pub const fn has_partial(&self) -> bool {
        self.start < self.buffer.len()
    }

    fn peek(&self, expected: &[Kind]) -> Result<Option<(Kind, usize)>, FrameError> {
        let waiting = self.buffer.get(self.start..).unwrap_or_default();
        let Some(&first) = waiting.first() else { return Ok(None) };
        let kind = expected.iter().find(|kind| **kind as u8 == first).ok_or(FrameError::Unexpected(first))?;
        let Some(&[_, high, low]) = waiting.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len > kind.max_len() {
            return Err(FrameError::TooLong);
        }
        let end = self.start.saturating_add(HEADER_LEN).saturating_add(len);
        Ok((self.buffer.len() >= end).then_some((*kind, end)))
    }

    /// Moves what is left to the front: at most one incomplete message.
    fn compact(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
    }

    /// The buffer to read into, after [`Self::next`] had nothing: with room for the rest of the message under way, or
    /// for one of ordinary length.
    #[cfg(feature = "net")]
    pub(crate) fn spare(&mut self) -> &mut Vec<u8> {
        /// What an idle session keeps, and one small read.
        const ROOM: usize = 2 * 1024;
        let len = match self.buffer.first_chunk::<HEADER_LEN>() {
            Some(&[_, high, low]) => usize::from(u16::from_be_bytes([high, low])),
            None => 0,
        };
        // The same for the same lengths, however the stream is cut: then a stream of them allocates once.
        let whole = len.saturating_add(HEADER_LEN).max(ROOM).saturating_add(ROOM);
        self.buffer.reserve(whole.saturating_sub(self.buffer.len()));
        &mut self.buffer
    }
}
