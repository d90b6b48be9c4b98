use core::fmt;
use core::str::FromStr;

use sha2::{Digest, Sha256};

use super::public::PublicIdentity;
use crate::label;

/// A short name of a public identity, for people to compare: printed as eight groups of five digits.
///
/// # Security
/// Compare all of it, over a channel where the other is known: in person, or by voice. 128 bits stand against whoever
/// looks for a second identity with the same fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    pub(super) fn of(identity: &PublicIdentity) -> Self {
        let digest =
            Sha256::new().chain_update(label::FINGERPRINT.as_bytes()).chain_update(identity.to_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        let (first, _) = digest.split_at(16);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(first);
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for Fingerprint {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (groups, _) = self.0.as_chunks::<2>();
        groups.iter().enumerate().try_for_each(|(i, group)| {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{:05}", u16::from_be_bytes(*group))
        })
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let mut bytes = [0; 16];
        let (slots, _) = bytes.as_chunks_mut::<2>();
        let mut groups = text.split(' ');
        for slot in slots {
            let group = groups.next().ok_or(InvalidFingerprint)?;
            if group.len() != 5 || !group.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(InvalidFingerprint);
            }
            *slot = group.parse::<u16>().map_err(|_| InvalidFingerprint)?.to_be_bytes();
        }
        if groups.next().is_some() { Err(InvalidFingerprint) } else { Ok(Self(bytes)) }
    }
}

/// The text is not a fingerprint.
#[expect(clippy::exhaustive_structs, reason = "one value")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidFingerprint;

impl fmt::Display for InvalidFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a fingerprint is eight groups of five digits, with one space between them, none above 65535",
        )
    }
}

impl core::error::Error for InvalidFingerprint {}
