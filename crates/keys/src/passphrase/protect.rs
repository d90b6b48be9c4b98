//! C9: something kept under a passphrase.

use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::Passphrase;
use super::stretch::{Argon2Params, InvalidParams, OutOfMemory, stretch};
use crate::aead::{OneTimeKey, TAG_LEN};
use crate::wire::{Malformed, Reader};
use crate::{Backend, extract, label};

/// C9: the magic, then the version.
const MAGIC: [u8; 4] = *b"SYK1";
const VERSION: u8 = 1;
const SALT_LEN: usize = 16;
const HEADER_LEN: usize = 4 + 1 + SALT_LEN + 3 * 4;

/// Bytes that [`protect`] adds: header and tag.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

/// The most bytes kept under a passphrase: 1 GiB. They are sealed in one piece, in memory.
pub const MAX_CONTENT: usize = 1 << 30;

/// Encrypts `content` under a passphrase, with a fresh salt (C9, `docs/passphrase.md`).
///
/// Slow on purpose, see [`stretch`].
///
/// # Errors
/// [`ProtectError`].
///
/// # Security
/// Whoever has the file can guess passphrases at the cost of one stretching each, for ever: changing the passphrase
/// makes a new file and does not reach copies of the old one. The length of `content` is visible.
pub fn protect<R: CryptoRng + ?Sized>(
    passphrase: &Passphrase,
    params: Argon2Params,
    content: &[u8],
    rng: &mut R,
) -> Result<Vec<u8>, ProtectError> {
    if content.len() > MAX_CONTENT {
        return Err(ProtectError::TooLong);
    }
    let mut salt = [0; SALT_LEN];
    rng.fill_bytes(&mut salt);
    let header = Header { salt, params };
    let key = header.key(passphrase)?;
    let header = header.to_bytes();

    let mut file = Vec::new();
    file.try_reserve_exact(content.len().saturating_add(OVERHEAD)).map_err(|_| OutOfMemory)?;
    file.extend_from_slice(&header);
    file.extend_from_slice(content);
    let sealed = file.get_mut(HEADER_LEN..).unwrap_or_default();
    let tag = key.seal_in_place(&header, sealed).map_err(|_| ProtectError::TooLong)?;
    file.extend_from_slice(&tag);
    Ok(file)
}

/// Decrypts what [`protect`] made.
///
/// # Errors
/// [`UnprotectError`]. Everything is checked before the stretching; the costs it accepts are capped by
/// [`Argon2Params`].
pub fn unprotect(passphrase: &Passphrase, file: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnprotectError> {
    let (header, sealed, tag) = parse(file)?;
    let key = header.key(passphrase)?;

    let mut content = Zeroizing::new(Vec::new());
    content.try_reserve_exact(sealed.len()).map_err(|_| OutOfMemory)?;
    content.extend_from_slice(sealed);
    key.open_in_place(&header.to_bytes(), &mut content, tag).map_err(|_| UnprotectError::Rejected)?;
    Ok(content)
}

/// Whether `file` begins as what [`protect`] makes: to know when to ask for a passphrase.
#[must_use]
pub fn is_protected(file: &[u8]) -> bool {
    file.starts_with(&MAGIC)
}

/// What opening `file` will cost, without opening it: to decide where to do it, or whether to.
///
/// # Errors
/// As [`unprotect`], but for [`UnprotectError::Rejected`] and [`UnprotectError::OutOfMemory`].
pub fn params(file: &[u8]) -> Result<Argon2Params, UnprotectError> {
    Ok(parse(file)?.0.params)
}

/// Header, what is sealed, tag.
fn parse(file: &[u8]) -> Result<(Header, &[u8], &[u8; TAG_LEN]), UnprotectError> {
    let mut reader = Reader::new(file);
    reader.expect(&MAGIC).map_err(|_| UnprotectError::NotProtected)?;
    match reader.u8()? {
        VERSION => {}
        other => return Err(UnprotectError::Version(other)),
    }
    let salt = reader.array()?;
    let costs = (reader.u32()?, reader.u32()?, reader.u32()?);
    let (sealed, tag) = reader.rest().split_last_chunk().ok_or(UnprotectError::Malformed)?;
    if sealed.len() > MAX_CONTENT {
        return Err(UnprotectError::Malformed);
    }
    let params = Argon2Params::new(costs.0, costs.1, costs.2)?;
    Ok((Header { salt, params }, sealed, tag))
}

struct Header {
    salt: [u8; SALT_LEN],
    params: Argon2Params,
}

impl Header {
    fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let Self { salt, params } = self;
        let [m, t, p] = [params.memory_kib(), params.passes(), params.lanes()].map(u32::to_be_bytes);
        let parts: [&[u8]; 6] = [&MAGIC, &[VERSION], salt, &m, &t, &p];
        let mut bytes = [0; HEADER_LEN];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    fn key(&self, passphrase: &Passphrase) -> Result<OneTimeKey, OutOfMemory> {
        let stretched = stretch(passphrase, &self.salt, self.params)?;
        let root = extract(label::PASSPHRASE, stretched.expose());
        Ok(OneTimeKey::new(Backend::best(), &root.derive_one(label::PASSPHRASE, &self.to_bytes())))
    }
}

/// Why [`protect`] made no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtectError {
    /// The content exceeds [`MAX_CONTENT`].
    TooLong,
    /// See [`OutOfMemory`].
    OutOfMemory,
}

impl fmt::Display for ProtectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "at most {MAX_CONTENT} bytes can be kept under a passphrase"),
            Self::OutOfMemory => OutOfMemory.fmt(f),
        }
    }
}

impl core::error::Error for ProtectError {}

impl From<OutOfMemory> for ProtectError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Why [`unprotect`] gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnprotectError {
    /// The bytes were not made by [`protect`].
    NotProtected,
    /// A later version of the format, which this one does not read.
    Version(u8),
    /// Cut short, or longer than [`MAX_CONTENT`] allows.
    Malformed,
    /// The parameters are below the floor or above the caps; nothing was computed.
    Params(InvalidParams),
    /// See [`OutOfMemory`].
    OutOfMemory,
    /// Another passphrase, or the file was altered: nobody can tell which.
    Rejected,
}

impl fmt::Display for UnprotectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotProtected => f.write_str("this is not a file kept under a passphrase"),
            Self::Version(version) => write!(
                f,
                "the file has version {version}, this program reads version {VERSION}: use a newer one"
            ),
            Self::Malformed => f.write_str("the file is cut short or too long: restore it from a copy"),
            Self::Params(error) => write!(f, "the file is refused: {error}"),
            Self::OutOfMemory => OutOfMemory.fmt(f),
            Self::Rejected => f.write_str("wrong passphrase, or the file was altered"),
        }
    }
}

impl core::error::Error for UnprotectError {}

impl From<Malformed> for UnprotectError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<InvalidParams> for UnprotectError {
    fn from(error: InvalidParams) -> Self {
        Self::Params(error)
    }
}

impl From<OutOfMemory> for UnprotectError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}
