//! The text forms: Bech32m (BIP 350).

use alloc::string::String;
use core::fmt;

use bech32::primitives::decode::{CheckedHrpstring, UncheckedHrpstring};
use bech32::{Bech32m, ByteIterExt, Fe32IterExt, Hrp};
use zeroize::{Zeroize, Zeroizing};

use super::public::PublicIdentity;
use crate::error::InvalidKey;
use crate::secret::Secret;

const PUBLIC: Hrp = Hrp::parse_unchecked("symbolon-pub");
const SECRET: Hrp = Hrp::parse_unchecked("symbolon-sec");
const SECRET_VERSION: u8 = 1;
/// The version and the seed.
pub(super) const SECRET_LEN: usize = 1 + 32;
/// Characters of the secret form: the prefix, the separator, 33 bytes in groups of five bits, the checksum.
const SECRET_CHARS: usize = 12 + 1 + 53 + 6;
/// No text of ours is longer than a public identity's 226 characters: what is, is not looked at.
const MAX_CHARS: usize = 226;

pub(super) fn write_public(identity: &PublicIdentity, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bech32::encode_lower_to_fmt::<Bech32m, _>(f, PUBLIC, &identity.to_bytes()).map_err(|_| fmt::Error)
}

pub(super) fn public_from_text(text: &str) -> Result<PublicIdentity, InvalidIdentity> {
    let mut bytes = [0; PublicIdentity::LEN];
    decode(text, PUBLIC, InvalidIdentity::IsSecret, &mut bytes)?;
    PublicIdentity::from_bytes(&bytes)
}

pub(super) fn secret_to_text(seed: &Secret<32>) -> Zeroizing<String> {
    // With its full capacity from the start, the text is never copied to another place.
    let mut text = Zeroizing::new(String::with_capacity(SECRET_CHARS));
    let bytes = secret_to_bytes(seed);
    text.extend(bytes.iter().copied().bytes_to_fes().with_checksum::<Bech32m>(&SECRET).chars());
    text
}

pub(super) fn secret_from_text(text: &str) -> Result<Secret<32>, InvalidIdentity> {
    let mut bytes = Zeroizing::new([0; SECRET_LEN]);
    decode(text, SECRET, InvalidIdentity::IsPublic, &mut *bytes)?;
    secret_from_bytes(&*bytes)
}

/// `01 || seed`, also the content of a file under a passphrase.
pub(super) fn secret_to_bytes(seed: &Secret<32>) -> Zeroizing<[u8; SECRET_LEN]> {
    let mut bytes = Zeroizing::new([SECRET_VERSION; SECRET_LEN]);
    for (to, from) in bytes.iter_mut().skip(1).zip(seed.expose()) {
        *to = *from;
    }
    bytes
}

pub(super) fn secret_from_bytes(bytes: &[u8]) -> Result<Secret<32>, InvalidIdentity> {
    match bytes.split_first() {
        Some((&SECRET_VERSION, seed)) => {
            let seed: &[u8; 32] = seed.try_into().map_err(|_| InvalidIdentity::Length)?;
            Ok(Secret::init_with(|out| out.copy_from_slice(seed)))
        }
        Some((&other, _)) => Err(InvalidIdentity::Version(other)),
        None => Err(InvalidIdentity::Length),
    }
}

/// Decodes exactly `out.len()` bytes under the prefix `wanted`; `other` is the error for our other prefix.
fn decode(text: &str, wanted: Hrp, other: InvalidIdentity, out: &mut [u8]) -> Result<(), InvalidIdentity> {
    if text.len() > MAX_CHARS {
        return Err(InvalidIdentity::Length);
    }
    let unchecked = UncheckedHrpstring::new(text).map_err(|_| InvalidIdentity::Text)?;
    match unchecked.hrp() {
        hrp if hrp == wanted => {}
        hrp if hrp == PUBLIC || hrp == SECRET => return Err(other),
        _ => return Err(InvalidIdentity::Prefix),
    }
    let checked: CheckedHrpstring<'_> =
        unchecked.validate_and_remove_checksum::<Bech32m>().map_err(|_| InvalidIdentity::Checksum)?;
    let chars = checked.data_part_ascii_no_checksum().len();
    if chars != out.len().saturating_mul(8).div_ceil(5) {
        return Err(InvalidIdentity::Length);
    }
    // BIP 173's rule for padding, which is not special to its addresses.
    checked.validate_segwit_padding().map_err(|_| InvalidIdentity::Padding)?;
    for (to, mut from) in out.iter_mut().zip(checked.byte_iter()) {
        *to = from;
        from.zeroize();
    }
    Ok(())
}

/// Why something is not an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidIdentity {
    /// It is a secret identity, and a public one was wanted.
    IsSecret,
    /// It is a public identity, and a secret one was wanted.
    IsPublic,
    /// The text is not Bech32m: a wrong character, or upper and lower case mixed.
    Text,
    /// The text carries something else than an identity of this project.
    Prefix,
    /// The checksum is wrong: a typing error, or a part is missing.
    Checksum,
    /// It is too short or too long.
    Length,
    /// Bits that must be zero are not.
    Padding,
    /// A later version, which this one does not read.
    Version(u8),
    /// One of the keys is not acceptable.
    Key(InvalidKey),
    /// One key stands in two places.
    SameKey,
}

impl fmt::Display for InvalidIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IsSecret => f.write_str(
                "this is a secret identity where a public one is wanted: show it to nobody, and give the one \
                 that begins with symbolon-pub1",
            ),
            Self::IsPublic => f.write_str(
                "this is a public identity where a secret one is wanted: give the one that begins with \
                 symbolon-sec1",
            ),
            Self::Text => {
                f.write_str("not an identity: a character that none has, or mixed upper and lower case")
            }
            Self::Prefix => {
                f.write_str("not an identity: it begins with neither symbolon-pub1 nor symbolon-sec1")
            }
            Self::Checksum => f.write_str("the checksum is wrong: a typing error, or a part is missing"),
            Self::Length => f.write_str("the identity is too short or too long"),
            Self::Padding => f.write_str("the identity is not in its canonical form: padding is not zero"),
            Self::Version(version) => {
                write!(f, "the identity has version {version}, this program reads version 1: use a newer one")
            }
            Self::Key(error) => write!(f, "a key of the identity is refused: {error}"),
            Self::SameKey => f.write_str("the identity has one key for two protocols"),
        }
    }
}

impl core::error::Error for InvalidIdentity {}

impl From<InvalidKey> for InvalidIdentity {
    fn from(error: InvalidKey) -> Self {
        Self::Key(error)
    }
}
