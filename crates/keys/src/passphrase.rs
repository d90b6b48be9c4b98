//! What a person remembers, and what is kept under it (`docs/passphrase.md`).
//!
//! ```
//! # #[cfg(feature = "getrandom")] {
//! use symbolon_keys::OsRng;
//! use symbolon_keys::passphrase::{Argon2Params, Passphrase, protect, unprotect};
//!
//! let passphrase: Passphrase = "correct horse battery staple".parse().unwrap();
//! let params = Argon2Params::FLOOR; // `default()` outside of tests
//! let file = protect(&passphrase, params, b"what nobody else may read", &mut OsRng).unwrap();
//! assert_eq!(*unprotect(&passphrase, &file).unwrap(), b"what nobody else may read");
//! # }
//! ```

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use precis_core::profile::Profile;
use precis_profiles::OpaqueString;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

mod protect;
mod stretch;

pub use protect::{
    MAX_CONTENT, OVERHEAD, ProtectError, UnprotectError, is_protected, params, protect, unprotect,
};
pub use stretch::{Argon2Params, InvalidParams, OutOfMemory, stretch};

/// A passphrase in the one form that every keyboard and system gives it: the profile `OpaqueString` of RFC 8265.
///
/// Spaces of every kind become U+0020, the text is normalised (NFC), nothing else changes; control characters and
/// unassigned code points are refused. Wiped when dropped, never printed.
///
/// ```compile_fail
/// # use symbolon_keys::passphrase::Passphrase;
/// let shown = Passphrase::new("correct horse").unwrap().to_string(); // it does not print
/// ```
/// ```
/// # use symbolon_keys::passphrase::Passphrase;
/// let shown = format!("{:?}", Passphrase::new("correct horse").unwrap());
/// assert_eq!(shown, "Passphrase(..)");
/// ```
///
/// # Security
/// A passphrase is guessed, however slow the stretching makes each guess: its strength is up to whoever chooses it.
/// The text that it is made from belongs to the caller, who wipes it.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The most bytes of UTF-8 that a passphrase is read from. Long enough for a page of prose, and it bounds what a
    /// form that takes passphrases makes the normalisation do.
    pub const MAX_LEN: usize = 1024;

    /// Takes the passphrase that `text` spells.
    ///
    /// # Errors
    /// [`InvalidPassphrase`] says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, InvalidPassphrase> {
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return Err(InvalidPassphrase::Length);
        }
        OpaqueString::new().prepare(text).map_err(|_| InvalidPassphrase::Character)?;
        // RFC 8265 4.2.2 as the profile's `enforce` does it (a test compares them), but into one place that is wiped:
        // NFC makes a text at most three times as long (Unicode Standard Annex 15).
        let mut normal = Zeroizing::new(String::with_capacity(text.len().saturating_mul(3)));
        normal.extend(text.chars().map(ascii_space).nfc());
        Ok(Self(normal))
    }

    /// As it goes into the stretching: UTF-8. Search for this name to see where passphrases leave their type.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl FromStr for Passphrase {
    type Err = InvalidPassphrase;

    fn from_str(text: &str) -> Result<Self, InvalidPassphrase> {
        Self::new(text)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("Passphrase(..)")
    }
}

/// Every space (general category Zs, which Unicode has closed) becomes U+0020.
const fn ascii_space(c: char) -> char {
    match c {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        other => other,
    }
}

/// Why some text is not a [`Passphrase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPassphrase {
    /// It is empty or longer than [`Passphrase::MAX_LEN`].
    Length,
    /// It has a character that RFC 8265 refuses, such as a control character.
    Character,
}

impl fmt::Display for InvalidPassphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a passphrase has 1 to {} bytes of UTF-8", Passphrase::MAX_LEN),
            Self::Character => f.write_str(
                "the passphrase has a character that cannot be typed alike everywhere, such as a tab or a control \
                 character: leave it out",
            ),
        }
    }
}

impl core::error::Error for InvalidPassphrase {}
