use core::fmt;
use std::io;

#[cfg(feature = "passphrase")]
use symbolon_keys::passphrase::{ProtectError, UnprotectError};

use crate::material::MaterialError;

/// Why a bundle cannot be made or used.
#[derive(Debug)]
#[non_exhaustive]
pub enum BundleError {
    /// It is no bundle of this version, or not a whole one.
    Malformed(&'static str),
    /// It is under a passphrase.
    Protected,
    /// A chunk is damaged: the medium failed, or the file was not written to its end. Nothing was installed.
    Damaged {
        /// Which.
        chunk: u64,
    },
    /// A field is longer than its limit.
    TooLong,
    /// The passphrase does not open it.
    #[cfg(feature = "passphrase")]
    Passphrase(UnprotectError),
    /// It could not be put under the passphrase.
    #[cfg(feature = "passphrase")]
    Protect(ProtectError),
    /// The half could not be installed.
    Material(MaterialError),
    /// The medium failed.
    Io(io::Error),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "not a whole bundle: {what}"),
            Self::Protected => f.write_str("the bundle is under a passphrase"),
            Self::Damaged { chunk } => {
                write!(f, "the bundle is damaged at chunk {chunk}; nothing was installed: get another copy")
            }
            Self::TooLong => f.write_str("a field of the bundle is too long"),
            #[cfg(feature = "passphrase")]
            Self::Passphrase(error) => error.fmt(f),
            #[cfg(feature = "passphrase")]
            Self::Protect(error) => error.fmt(f),
            Self::Material(error) => error.fmt(f),
            Self::Io(error) => write!(f, "the bundle's medium failed: {error}"),
        }
    }
}

impl core::error::Error for BundleError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            #[cfg(feature = "passphrase")]
            Self::Passphrase(error) => Some(error),
            #[cfg(feature = "passphrase")]
            Self::Protect(error) => Some(error),
            Self::Material(error) => Some(error),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for BundleError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<MaterialError> for BundleError {
    fn from(error: MaterialError) -> Self {
        Self::Material(error)
    }
}
