//! One stanza of a header: a file key wrapped for somebody, or something that goes with it.

use alloc::string::String;
use alloc::vec::Vec;

use base64ct::{Base64Unpadded, Encoding};

use crate::error::HeaderError;

/// Our namespace in the age format. Changing it changes the format.
macro_rules! ns {
    ($name:literal) => {
        concat!("symbolon.dev/", $name)
    };
}
pub(crate) use ns;

/// Columns of a body's full line; its last line is shorter.
pub(crate) const COLUMNS: usize = 64;

/// One stanza: arguments, the first of which names its type, and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// The arguments, separated by single spaces.
    line: String,
    body: Vec<u8>,
}

impl Stanza {
    /// A stanza of these arguments and this body.
    ///
    /// # Errors
    /// [`HeaderError::Malformed`] if there is no argument, or one is empty or not of visible ASCII.
    pub fn new(args: &[&str], body: Vec<u8>) -> Result<Self, HeaderError> {
        Self::from_line(args.join(" "), body)
    }

    /// The grammar's `argument *(SP argument)`.
    pub(crate) fn from_line(line: String, body: Vec<u8>) -> Result<Self, HeaderError> {
        let visible = |arg: &str| !arg.is_empty() && arg.bytes().all(|byte| byte.is_ascii_graphic());
        if !line.split(' ').all(visible) {
            return Err(HeaderError::Malformed);
        }
        Ok(Self { line, body })
    }

    /// The first argument: its type.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.args().next().unwrap_or_default()
    }

    /// All arguments.
    pub fn args(&self) -> impl Iterator<Item = &str> {
        self.line.split(' ')
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn append(&mut self, body: &[u8]) {
        self.body.extend_from_slice(body);
    }

    /// The body of a stanza that carries a file key and a tag; its length is fixed, so that no body
    /// can be made for many keys at once; that none counts for two is the commitment's work, or the header MAC's.
    pub(crate) fn wrapped_key(&self) -> Result<&[u8; 32], HeaderError> {
        self.body.as_slice().try_into().map_err(|_| HeaderError::Stanza)
    }

    /// The arguments after the type, if there are exactly `N`.
    pub(crate) fn exactly<const N: usize>(&self) -> Result<[&str; N], HeaderError> {
        let mut args = self.args().skip(1);
        let mut found = [""; N];
        for slot in &mut found {
            *slot = args.next().ok_or(HeaderError::Stanza)?;
        }
        if args.next().is_some() {
            return Err(HeaderError::Stanza);
        }
        Ok(found)
    }

    /// Appends the stanza as the format writes it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"-> ");
        out.extend_from_slice(self.line.as_bytes());
        out.push(b'\n');
        let text = Base64Unpadded::encode_string(&self.body);
        let (lines, last) = text.as_bytes().as_chunks::<COLUMNS>();
        for line in lines {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        // Always there, be it empty: a body ends with a line that is not full.
        out.extend_from_slice(last);
        out.push(b'\n');
    }
}

/// An argument as canonical base64 of exactly `N` bytes.
pub(crate) fn decode<const N: usize>(arg: &str) -> Result<[u8; N], HeaderError> {
    let mut out = [0; N];
    match Base64Unpadded::decode(arg, &mut out) {
        Ok(bytes) if bytes.len() == N => Ok(out),
        _ => Err(HeaderError::Stanza),
    }
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    Base64Unpadded::encode_string(bytes)
}
