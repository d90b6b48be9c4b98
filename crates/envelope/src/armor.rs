//! ASCII armor: the strict PEM of RFC 7468 with the label that the age specification gives it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64, Encoding};

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
const COLUMNS: usize = 64;
const LINE_BYTES: usize = COLUMNS / 4 * 3;
/// The most white space that is passed over before the armor, and after it: mail programs add some.
const MAX_WHITE_SPACE: usize = 1024;

/// The armor of an envelope.
#[must_use]
pub fn armor(sealed: &[u8]) -> String {
    let mut out = Vec::with_capacity(sealed.len().saturating_add(sealed.len() / 2).saturating_add(128));
    let mut writer = ArmorWriter::new();
    writer.push(sealed, &mut out);
    writer.finish(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// The envelope in its armor.
///
/// # Errors
/// [`ArmorError`].
pub fn dearmor(text: &[u8]) -> Result<Vec<u8>, ArmorError> {
    let mut out = Vec::with_capacity(text.len());
    let mut reader = ArmorReader::new();
    reader.push(text, &mut out)?;
    reader.finish()?;
    Ok(out)
}

/// Whether `start` is how armor starts: at least 64 bytes of a file, or all of it.
#[must_use]
pub fn is_armored(start: &[u8]) -> bool {
    start.trim_ascii_start().starts_with(BEGIN.as_bytes())
}

/// Why some text is not the armor of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArmorError {
    /// A line is not as the format has it: of another length, not canonical, or before or after the armor.
    Malformed,
    /// It ends before its last line.
    Truncated,
}

impl fmt::Display for ArmorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the ASCII armor is malformed: a line was altered or added",
            Self::Truncated => "the ASCII armor is cut short: fetch the file again",
        })
    }
}

impl core::error::Error for ArmorError {}

/// Puts armor around pieces of any size.
#[must_use = "armor that is not finished is cut short"]
#[derive(Debug, Default)]
pub struct ArmorWriter {
    begun: bool,
    pending: Vec<u8>,
}

impl ArmorWriter {
    /// At the beginning of a file.
    pub const fn new() -> Self {
        Self { begun: false, pending: Vec::new() }
    }

    /// Takes bytes; appends to `out` whatever lines are whole.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.begin(out);
        let mut rest = bytes;
        if !self.pending.is_empty() {
            let (fill, more) = rest.split_at(rest.len().min(LINE_BYTES.saturating_sub(self.pending.len())));
            self.pending.extend_from_slice(fill);
            rest = more;
            if self.pending.len() < LINE_BYTES {
                return;
            }
            write_line(&self.pending, out);
            self.pending.clear();
        }
        let (lines, more) = rest.as_chunks::<LINE_BYTES>();
        for line in lines {
            write_line(line, out);
        }
        self.pending.extend_from_slice(more);
    }

    /// Appends what is left, and the last line.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.begin(out);
        if !self.pending.is_empty() {
            write_line(&self.pending, out);
        }
        out.extend_from_slice(END.as_bytes());
        out.push(b'\n');
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            out.extend_from_slice(BEGIN.as_bytes());
            out.push(b'\n');
            self.begun = true;
        }
    }
}

fn write_line(bytes: &[u8], out: &mut Vec<u8>) {
    let mut line = [0; COLUMNS];
    // A line has room for as many bytes as there can be.
    out.extend_from_slice(Base64::encode(bytes, &mut line).unwrap_or_default().as_bytes());
    out.push(b'\n');
}

/// Takes armor off, from pieces of any size.
#[must_use = "armor is whole only when finish says so"]
#[derive(Debug, Default)]
pub struct ArmorReader {
    state: State,
    /// The line being read, as far as it came.
    line: Vec<u8>,
    white_space: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Before,
    Body,
    /// A line that is not full was read: only the last may be.
    ShortLine,
    After,
}

impl ArmorReader {
    /// At the beginning of a file.
    pub const fn new() -> Self {
        Self { state: State::Before, line: Vec::new(), white_space: 0 }
    }

    /// Takes text; appends to `out` the bytes of whole lines.
    ///
    /// # Errors
    /// [`ArmorError::Malformed`]; the reader must then not be used further.
    pub fn push(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), ArmorError> {
        let mut rest = text;
        while !rest.is_empty() {
            if matches!(self.state, State::Before | State::After) {
                rest = self.skip_white_space(rest)?;
            }
            let end = rest.iter().position(|&byte| byte == b'\n');
            let (piece, more) = rest.split_at(end.unwrap_or(rest.len()));
            // No line is longer than a full one with its line end.
            if self.line.len().saturating_add(piece.len()) > COLUMNS + 1 {
                return Err(ArmorError::Malformed);
            }
            self.line.extend_from_slice(piece);
            rest = more.get(1..).unwrap_or_default();
            if end.is_some() {
                self.take_line(out)?;
                self.line.clear();
            }
        }
        Ok(())
    }

    /// The end of the text.
    ///
    /// # Errors
    /// [`ArmorError`].
    pub fn finish(mut self) -> Result<(), ArmorError> {
        // The very last line may lack its line end.
        if !self.line.is_empty() && self.take_line(&mut Vec::new()).is_err() {
            return Err(ArmorError::Truncated);
        }
        if matches!(self.state, State::After) { Ok(()) } else { Err(ArmorError::Truncated) }
    }

    fn skip_white_space<'a>(&mut self, text: &'a [u8]) -> Result<&'a [u8], ArmorError> {
        // Within a line that has begun, and before it ends, white space is part of it.
        if !self.line.is_empty() {
            return Ok(text);
        }
        let rest = text.trim_ascii_start();
        self.white_space = self.white_space.saturating_add(text.len().saturating_sub(rest.len()));
        let strange = matches!(self.state, State::After) && !rest.is_empty();
        if self.white_space > MAX_WHITE_SPACE || strange {
            return Err(ArmorError::Malformed);
        }
        Ok(rest)
    }

    fn take_line(&mut self, out: &mut Vec<u8>) -> Result<(), ArmorError> {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        self.state = match self.state {
            State::Before if line == BEGIN.as_bytes() => State::Body,
            State::Body | State::ShortLine if line == END.as_bytes() => {
                self.white_space = 0;
                State::After
            }
            State::Body if !line.is_empty() && line.len() <= COLUMNS => {
                let mut decoded = [0; LINE_BYTES];
                let decoded = Base64::decode(line, &mut decoded).map_err(|_| ArmorError::Malformed)?;
                out.extend_from_slice(decoded);
                if decoded.len() == LINE_BYTES { State::Body } else { State::ShortLine }
            }
            _ => return Err(ArmorError::Malformed),
        };
        Ok(())
    }
}
