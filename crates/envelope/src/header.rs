//! The header of an age v1 file: `docs/envelope.md`, and the age specification, "Header".

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use core::mem;

use base64ct::{Base64Unpadded, Encoding};

use crate::context;
use crate::error::HeaderError;
use crate::stanza::{COLUMNS, Stanza, decode};

/// The most bytes of a header. Room for 32 post-quantum stanzas, and little enough to hold one for every connection.
pub const MAX_HEADER: usize = 65_536;

/// The most stanzas of a header: each costs its reader up to one key agreement.
pub const MAX_STANZAS: usize = 32;

const PREFIX: &[u8] = b"age-encryption.org/";
const VERSION_LINE: &[u8] = b"age-encryption.org/v1";
/// More than any version's name will have.
const MAX_VERSION_LINE: usize = 64;
pub(crate) const MAC_MARK: &[u8] = b"---";

/// A header as it was read: in the one form that its content has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    bytes: Vec<u8>,
    stanzas: Vec<Stanza>,
    /// What the MAC covers: `bytes[..authenticated]`.
    authenticated: usize,
    mac: [u8; 32],
}

impl Header {
    /// Reads the header from the front of `bytes`; gives what follows it, too.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), HeaderError> {
        let mut reader = HeaderReader::new();
        match reader.push(bytes)? {
            (consumed, Some(header)) => Ok((header, bytes.get(consumed..).unwrap_or_default())),
            (_, None) => Err(HeaderError::Truncated),
        }
    }

    /// The stanzas, in order.
    #[must_use]
    pub fn stanzas(&self) -> &[Stanza] {
        &self.stanzas
    }

    /// The header as it was written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the MAC covers, and the MAC.
    pub(crate) fn authenticated(&self) -> (&[u8], &[u8; 32]) {
        (self.bytes.get(..self.authenticated).unwrap_or_default(), &self.mac)
    }

    /// The context stanza (C2): the first, if it is one.
    pub(crate) fn context(&self) -> Option<&Stanza> {
        self.stanzas.first().filter(|stanza| stanza.kind() == context::KIND)
    }

    /// Rules about stanzas beside each other.
    fn check_order(&self) -> Result<(), HeaderError> {
        let misplaced = |(n, stanza): (usize, &Stanza)| match stanza.kind() {
            context::KIND => n != 0,
            "scrypt" => self.stanzas.len() != 1,
            _ => false,
        };
        if self.stanzas.iter().enumerate().any(misplaced) { Err(HeaderError::Misplaced) } else { Ok(()) }
    }
}

/// Reads a header from a stream, in pieces of any size.
#[derive(Debug)]
pub struct HeaderReader {
    bytes: Vec<u8>,
    /// Where the line being read begins in `bytes`.
    line: usize,
    stanzas: Vec<Stanza>,
    state: State,
}

#[derive(Debug)]
enum State {
    Version,
    /// A stanza or the end.
    Next,
    Body(Stanza),
}

impl Default for HeaderReader {
    fn default() -> Self {
        Self::new()
    }
}

impl HeaderReader {
    /// A reader at the beginning of a file.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), line: 0, stanzas: Vec::new(), state: State::Version }
    }

    /// Takes the next bytes. Gives how many of them belong to the header, and the header once it is complete.
    ///
    /// # Errors
    /// [`HeaderError`], as soon as the bytes so far show it. The reader must then not be used further.
    pub fn push(&mut self, input: &[u8]) -> Result<(usize, Option<Header>), HeaderError> {
        let mut rest = input;
        while !rest.is_empty() {
            let end = rest.iter().position(|&byte| byte == b'\n');
            let (piece, more) = rest.split_at(end.map_or(rest.len(), |end| end.saturating_add(1)));
            if self.bytes.len().saturating_add(piece.len()) > MAX_HEADER {
                return Err(HeaderError::TooLong);
            }
            self.bytes.extend_from_slice(piece);
            rest = more;
            if end.is_none() {
                self.check_beginning()?;
                break;
            }
            let line = self.bytes.get(self.line..self.bytes.len().saturating_sub(1)).unwrap_or_default();
            let mac = Self::take_line(&mut self.state, &mut self.stanzas, line)?;
            if let Some(mac) = mac {
                return Ok((input.len().saturating_sub(rest.len()), Some(self.take_header(mac)?)));
            }
            self.line = self.bytes.len();
        }
        Ok((input.len(), None))
    }

    /// An incomplete first line: whatever is not an age file is refused before it fills the buffer.
    fn check_beginning(&self) -> Result<(), HeaderError> {
        if !matches!(self.state, State::Version) {
            return Ok(());
        }
        let seen = self.bytes.len().min(PREFIX.len());
        if self.bytes.len() > MAX_VERSION_LINE || self.bytes.get(..seen) != PREFIX.get(..seen) {
            return Err(HeaderError::NotAge);
        }
        Ok(())
    }

    /// One line without its end; gives the MAC if it was the last.
    fn take_line(
        state: &mut State,
        stanzas: &mut Vec<Stanza>,
        line: &[u8],
    ) -> Result<Option<[u8; 32]>, HeaderError> {
        match state {
            State::Version if line == VERSION_LINE => *state = State::Next,
            State::Version if line.starts_with(PREFIX) && line.len() <= MAX_VERSION_LINE => {
                return Err(HeaderError::Version);
            }
            State::Version => return Err(HeaderError::NotAge),
            State::Next => {
                let text = str::from_utf8(line).map_err(|_| HeaderError::Malformed)?;
                if let Some(mac) = text.strip_prefix("--- ") {
                    let known = !stanzas.is_empty();
                    return decode(mac).ok().filter(|_| known).map(Some).ok_or(HeaderError::Malformed);
                }
                let args = text.strip_prefix("-> ").ok_or(HeaderError::Malformed)?;
                if stanzas.len() >= MAX_STANZAS {
                    return Err(HeaderError::TooLong);
                }
                *state = State::Body(Stanza::from_line(args.to_owned(), Vec::new())?);
            }
            State::Body(stanza) => {
                let mut decoded = [0; COLUMNS / 4 * 3];
                let decoded = match line.len() {
                    ..=COLUMNS => Base64Unpadded::decode(line, &mut decoded),
                    _ => return Err(HeaderError::Malformed),
                };
                stanza.append(decoded.map_err(|_| HeaderError::Malformed)?);
                if line.len() < COLUMNS
                    && let State::Body(stanza) = mem::replace(state, State::Next)
                {
                    stanzas.push(stanza);
                }
            }
        }
        Ok(None)
    }

    fn take_header(&mut self, mac: [u8; 32]) -> Result<Header, HeaderError> {
        let authenticated = self.line.saturating_add(MAC_MARK.len());
        let (bytes, stanzas) = (mem::take(&mut self.bytes), mem::take(&mut self.stanzas));
        *self = Self::new();
        let header = Header { bytes, stanzas, authenticated, mac };
        header.check_order()?;
        Ok(header)
    }
}

/// Writes a header whose MAC is computed by `mac` over everything up to its mark.
pub(crate) fn write(stanzas: &[Stanza], mac: impl FnOnce(&[u8]) -> [u8; 32]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(VERSION_LINE);
    out.push(b'\n');
    for stanza in stanzas {
        stanza.write(&mut out);
    }
    out.extend_from_slice(MAC_MARK);
    let mac = mac(&out);
    out.push(b' ');
    out.extend_from_slice(Base64Unpadded::encode_string(&mac).as_bytes());
    out.push(b'\n');
    (out.len() <= MAX_HEADER && (1..=MAX_STANZAS).contains(&stanzas.len())).then_some(out)
}
