//! ASCII armor as `std::io` streams.

use core::fmt;
use std::io::{self, Read, Write};

use crate::armor::{ArmorError, ArmorReader, ArmorWriter};

/// Puts armor around what is written to it.
#[must_use = "armor that is not finished is cut short"]
#[derive(Debug)]
pub struct Armor<W> {
    to: W,
    armor: ArmorWriter,
    text: Vec<u8>,
}

impl<W: Write> Armor<W> {
    /// Around what goes into `to`.
    pub const fn new(to: W) -> Self {
        Self { to, armor: ArmorWriter::new(), text: Vec::new() }
    }

    /// Writes what is left and the last line, and flushes. Gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.armor.finish(&mut self.text);
        self.to.write_all(&self.text)?;
        self.to.flush()?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Armor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE);
        self.armor.push(bytes.get(..taken).unwrap_or_default(), &mut self.text);
        let outcome = self.to.write_all(&self.text);
        self.text.clear();
        outcome.map(|()| taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Bytes that are converted at a time.
const PIECE: usize = 65_536;

/// Takes the armor off what it reads.
pub struct Dearmor<R> {
    from: R,
    /// None after the end.
    armor: Option<ArmorReader>,
    text: Vec<u8>,
    bytes: Vec<u8>,
    given: usize,
    failed: Option<ArmorError>,
}

impl<R: Read> Dearmor<R> {
    /// Off what comes from `from`.
    pub fn new(from: R) -> Self {
        let armor = Some(ArmorReader::new());
        Self { from, armor, text: vec![0; PIECE], bytes: Vec::new(), given: 0, failed: None }
    }

    fn fill(&mut self, mut armor: ArmorReader) -> io::Result<()> {
        self.bytes.clear();
        self.given = 0;
        let read = match self.from.read(&mut self.text) {
            Ok(read) => read,
            Err(error) => {
                self.armor = Some(armor);
                return Err(error);
            }
        };
        let outcome = match self.text.get(..read).unwrap_or_default() {
            [] => armor.finish(),
            text => {
                let outcome = armor.push(text, &mut self.bytes);
                self.armor = Some(armor);
                outcome
            }
        };
        if let Err(error) = outcome {
            self.armor = None;
            self.failed = Some(error);
        }
        Ok(())
    }
}

impl<R: Read> Read for Dearmor<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.bytes.len() && !out.is_empty() {
            match (self.armor.take(), self.failed) {
                (Some(armor), None) => self.fill(armor)?,
                (_, Some(error)) => return Err(error.into()),
                (None, None) => return Ok(0),
            }
        }
        let read = self.bytes.get(self.given..).unwrap_or_default().read(out)?;
        self.given = self.given.saturating_add(read);
        Ok(read)
    }
}

impl<R> fmt::Debug for Dearmor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from: _, armor, text: _, bytes: _, given: _, failed } = self;
        write!(f, "Dearmor(at end: {}, {failed:?})", armor.is_none())
    }
}

impl ArmorError {
    /// The reason inside an error of [`Dearmor`], if it is one of the armor and not of reading.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<ArmorError> for io::Error {
    fn from(error: ArmorError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}
