//! Strict reading and writing of our formats: big-endian integers, `LP(x)` = `u16` length and bytes.

use alloc::vec::Vec;
use core::fmt;

/// The bytes do not follow the format: too short, too long, not canonical, or a reserved bit is set.
#[expect(clippy::exhaustive_structs, reason = "one value, built by every parser of the workspace")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed: the bytes do not follow the format")
    }
}

impl core::error::Error for Malformed {}

/// A field is longer than its length prefix, or the format, can say.
#[expect(clippy::exhaustive_structs, reason = "one value, built by every writer of the workspace")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too long: a field exceeds what its length prefix can say")
    }
}

impl core::error::Error for TooLong {}

/// Reads a byte string from its front, and never past its end.
///
/// ```
/// # use symbolon_keys::wire::{Malformed, Reader};
/// let mut r = Reader::new(&[1, 0, 2, b'h', b'i']);
/// assert_eq!((r.u8()?, r.lp()?), (1, &b"hi"[..]));
/// r.finish()?; // nothing may follow
/// # Ok::<(), Malformed>(())
/// ```
#[derive(Clone)]
pub struct Reader<'a>(&'a [u8]);

/// How much is left, not what: it may be secret.
impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} bytes left)", self.0.len())
    }
}

macro_rules! integers {
    ($($(#[$doc:meta])* $name:ident: $int:ty;)+) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Malformed`] if fewer bytes are left.
        pub fn $name(&mut self) -> Result<$int, Malformed> {
            self.array().map(<$int>::from_be_bytes)
        }
    )+};
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the first.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`Malformed`] if fewer are left.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Malformed`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    integers! {
        /// One byte.
        u8: u8;
        /// Two bytes.
        u16: u16;
        /// Four bytes.
        u32: u32;
        /// Eight bytes.
        u64: u64;
        /// Sixteen bytes.
        u128: u128;
    }

    /// `LP(x)`: a `u16` length and as many bytes.
    ///
    /// # Errors
    /// [`Malformed`] if fewer bytes are left than it says.
    pub fn lp(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.u16()?;
        self.take(usize::from(n))
    }

    /// Exactly these bytes, such as a version or reserved zeros.
    ///
    /// # Errors
    /// [`Malformed`] if other bytes come.
    pub fn expect(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if self.take(bytes.len())? == bytes { Ok(()) } else { Err(Malformed) }
    }

    /// All that is left.
    #[must_use]
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The end: nothing may be left.
    ///
    /// # Errors
    /// [`Malformed`] if something is.
    pub const fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Appends `LP(bytes)` to `out`.
///
/// # Errors
/// [`TooLong`] if `bytes` has more than 65,535; then `out` is as it was.
pub fn put_lp(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), TooLong> {
    let len = u16::try_from(bytes.len()).map_err(|_| TooLong)?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}
