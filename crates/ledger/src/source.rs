use core::fmt;
use std::io::Read;

use rand_core::CryptoRng;
use symbolon_keys::OsRng;

use crate::material::Claim;

/// Where the bytes of new pads come from. Its *type* says what may be claimed of their secrecy.
pub trait Source {
    /// The claim that a pad from here carries.
    const CLAIM: Claim;

    /// Fills `out` with fresh bytes: none of them was ever given out before, or will be again.
    ///
    /// # Errors
    /// [`SourceError`] if there are not enough.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), SourceError>;
}

impl<S: Source> Source for &mut S {
    const CLAIM: Claim = S::CLAIM;

    fn fill(&mut self, out: &mut [u8]) -> Result<(), SourceError> {
        (**self).fill(out)
    }
}

/// A generator: the operating system's unless told otherwise.
#[derive(Clone, Copy, Debug)]
pub struct GeneratorSource<R>(R);

impl GeneratorSource<OsRng> {
    /// The operating system's generator.
    #[must_use]
    pub const fn os() -> Self {
        Self(OsRng)
    }
}

impl<R: CryptoRng> GeneratorSource<R> {
    /// Another generator, such as a seeded one for tests.
    #[must_use]
    pub const fn new(generator: R) -> Self {
        Self(generator)
    }
}

impl<R: CryptoRng> Source for GeneratorSource<R> {
    const CLAIM: Claim = Claim::Computational;

    fn fill(&mut self, out: &mut [u8]) -> Result<(), SourceError> {
        self.0.fill_bytes(out);
        Ok(())
    }
}

/// Bytes from a file or a device, read once from its front.
#[derive(Clone, Copy, Debug)]
pub struct ReaderSource<R>(R);

impl<R: Read> ReaderSource<R> {
    /// Reads `reader`.
    #[must_use]
    pub const fn new(reader: R) -> Self {
        Self(reader)
    }
}

impl<R: Read> Source for ReaderSource<R> {
    const CLAIM: Claim = Claim::Computational;

    fn fill(&mut self, out: &mut [u8]) -> Result<(), SourceError> {
        self.0.read_exact(out).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => SourceError::Ended,
            _ => SourceError::Io(error),
        })
    }
}

/// A source whose bytes are physically random, and whose halves will be carried by hand or by quantum key distribution,
/// under no encryption that could be broken: whoever writes this word vouches for it.
#[derive(Clone, Copy, Debug)]
pub struct Physical<S>(S);

impl<S: Source> Physical<S> {
    /// Vouches for `source`.
    #[must_use]
    pub const fn vouched_for(source: S) -> Self {
        Self(source)
    }
}

impl<S: Source> Source for Physical<S> {
    const CLAIM: Claim = Claim::InformationTheoretic;

    fn fill(&mut self, out: &mut [u8]) -> Result<(), SourceError> {
        self.0.fill(out)
    }
}

/// Why a source gave no bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// It has no more.
    Ended,
    /// What it gave is no random bytes: 32 zeros in a row.
    NotRandom,
    /// What it gave is not in its format.
    Malformed,
    /// It gave a key that it had given before.
    Repeated,
    /// It could not be read.
    Io(std::io::Error),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the source has too few bytes for this pad"),
            Self::NotRandom => f.write_str("the source gives zeros, not random bytes"),
            Self::Malformed => f.write_str("what the source gave is not in its format"),
            Self::Repeated => f.write_str("the source gave a key twice: its bytes are not to be trusted"),
            Self::Io(error) => write!(f, "the source cannot be read: {error}"),
        }
    }
}

impl core::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}
