//! The text forms of age keys: Bech32 (BIP 173) without its limit of length.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use bech32::primitives::checksum::Checksum;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, ByteIterExt, Fe32IterExt, Hrp};
use rand_core::CryptoRng;
use symbolon_keys::{AgePublicKey, AgeSecretKey, Backend, Secret};
use zeroize::Zeroizing;

use crate::error::{OpenError, SealError};
use crate::file_key::FileKey;
use crate::hybrid::{HYBRID_PUBLIC_LEN, HybridPublicKey, HybridSecretKey};
use crate::joint::{Binding, Company, Identity, Recipient};
use crate::stanza::Stanza;

const PUBLIC: Hrp = Hrp::parse_unchecked("age");
const PUBLIC_HYBRID: Hrp = Hrp::parse_unchecked("age1pq");
const SECRET: Hrp = Hrp::parse_unchecked("age-secret-key-");
const SECRET_HYBRID: Hrp = Hrp::parse_unchecked("age-secret-key-pq-");

/// The longest string is that of a hybrid recipient, with 1,959 characters: what is longer is not looked at.
const MAX_LEN: usize = 2048;

/// Bech32 as the age specification has it.
enum LongBech32 {}

impl Checksum for LongBech32 {
    type MidstateRepr = <Bech32 as Checksum>::MidstateRepr;
    type CorrectionField = <Bech32 as Checksum>::CorrectionField;
    const ROOT_GENERATOR: Self::CorrectionField = Bech32::ROOT_GENERATOR;
    const ROOT_EXPONENTS: core::ops::RangeInclusive<usize> = Bech32::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = MAX_LEN;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [Self::MidstateRepr; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: Self::MidstateRepr = Bech32::TARGET_RESIDUE;
}

/// An age recipient as text: `age1...` or, for the post-quantum hybrid, `age1pq1...`.
///
/// ```
/// # use symbolon_envelope::AgeRecipient;
/// let text = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
/// let recipient: AgeRecipient = text.parse()?;
/// assert_eq!(recipient.to_string(), text);
/// # Ok::<(), symbolon_envelope::InvalidKeyString>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgeRecipient {
    /// X25519.
    Classical(AgePublicKey),
    /// ML-KEM-768 and X25519.
    Hybrid(HybridPublicKey),
}

impl FromStr for AgeRecipient {
    type Err = InvalidKeyString;

    fn from_str(text: &str) -> Result<Self, InvalidKeyString> {
        let checked = check(text)?;
        if checked.hrp() == PUBLIC {
            let key =
                AgePublicKey::from_bytes(*decode(&checked)?.expose()).map_err(|_| InvalidKeyString::Key)?;
            return Ok(Self::Classical(key));
        }
        if checked.hrp() == PUBLIC_HYBRID {
            let key = HybridPublicKey::from_bytes(decode::<HYBRID_PUBLIC_LEN>(&checked)?.expose());
            return Ok(Self::Hybrid(key.map_err(|_| InvalidKeyString::Key)?));
        }
        Err(InvalidKeyString::Prefix)
    }
}

impl fmt::Display for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hrp, bytes) = match self {
            Self::Classical(key) => (PUBLIC, key.as_bytes().as_slice()),
            Self::Hybrid(key) => (PUBLIC_HYBRID, key.as_bytes().as_slice()),
        };
        f.write_str(&encode(hrp, bytes))
    }
}

impl Recipient for AgeRecipient {
    fn wrap(
        &self,
        file_key: &FileKey,
        binding: &Binding,
        rng: &mut dyn CryptoRng,
    ) -> Result<Stanza, SealError> {
        match self {
            Self::Classical(key) => key.wrap(file_key, binding, rng),
            Self::Hybrid(key) => key.wrap(file_key, binding, rng),
        }
    }

    fn company(&self) -> Company {
        match self {
            Self::Classical(key) => key.company(),
            Self::Hybrid(key) => key.company(),
        }
    }
}

/// An age identity as text: `AGE-SECRET-KEY-1...` or, for the post-quantum hybrid, `AGE-SECRET-KEY-PQ-1...`.
#[derive(Debug)]
#[non_exhaustive]
pub enum AgeIdentity {
    /// X25519.
    Classical(Box<AgeSecretKey>),
    /// ML-KEM-768 and X25519.
    Hybrid(Box<HybridSecretKey>),
}

impl AgeIdentity {
    /// Reads an identity, for `backend`.
    ///
    /// # Errors
    /// [`InvalidKeyString`].
    pub fn parse(text: &str, backend: Backend) -> Result<Self, InvalidKeyString> {
        let checked = check(text)?;
        if checked.hrp() != SECRET && checked.hrp() != SECRET_HYBRID {
            return Err(InvalidKeyString::Prefix);
        }
        let secret = decode::<32>(&checked)?;
        if checked.hrp() == SECRET {
            return Ok(Self::Classical(Box::new(AgeSecretKey::from_secret(backend, secret))));
        }
        let key = HybridSecretKey::from_seed(backend, secret).map_err(|_| InvalidKeyString::Key)?;
        Ok(Self::Hybrid(Box::new(key)))
    }

    /// The recipient that it opens for.
    #[must_use]
    pub fn recipient(&self) -> AgeRecipient {
        match self {
            Self::Classical(key) => AgeRecipient::Classical(*key.public_key()),
            Self::Hybrid(key) => AgeRecipient::Hybrid(key.public_key().clone()),
        }
    }

    /// The identity as text, to keep it somewhere safe.
    #[must_use]
    pub fn to_secret_string(&self) -> Zeroizing<String> {
        let (hrp, secret) = match self {
            Self::Classical(key) => (SECRET, key.expose()),
            Self::Hybrid(key) => (SECRET_HYBRID, key.expose()),
        };
        let mut text = encode(hrp, secret.expose());
        text.make_ascii_uppercase();
        text
    }
}

impl FromStr for AgeIdentity {
    type Err = InvalidKeyString;

    fn from_str(text: &str) -> Result<Self, InvalidKeyString> {
        Self::parse(text, Backend::best())
    }
}

impl Identity for AgeIdentity {
    fn unwrap(&self, stanza: &Stanza, binding: &Binding) -> Result<Option<FileKey>, OpenError> {
        match self {
            Self::Classical(key) => key.unwrap(stanza, binding),
            Self::Hybrid(key) => key.unwrap(stanza, binding),
        }
    }
}

fn check(text: &str) -> Result<CheckedHrpstring<'_>, InvalidKeyString> {
    if text.len() > MAX_LEN {
        return Err(InvalidKeyString::Malformed);
    }
    CheckedHrpstring::new::<LongBech32>(text).map_err(|_| InvalidKeyString::Malformed)
}

/// Exactly `N` bytes, and no bits beside them.
fn decode<const N: usize>(checked: &CheckedHrpstring<'_>) -> Result<Secret<N>, InvalidKeyString> {
    let mut bytes = checked.byte_iter();
    let mut filled = 0;
    let secret = Secret::<N>::init_with(|out| {
        filled = out.iter_mut().zip(bytes.by_ref()).map(|(to, from)| *to = from).count();
    });
    let canonical = secret.expose().iter().copied().bytes_to_fes().eq(checked.fe32_iter());
    if filled != N || bytes.next().is_some() || !canonical {
        return Err(InvalidKeyString::Malformed);
    }
    Ok(secret)
}

fn encode(hrp: Hrp, bytes: &[u8]) -> Zeroizing<String> {
    // With its full capacity from the start, the text is never copied to another place.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().saturating_mul(2).saturating_add(64)));
    text.extend(bytes.iter().copied().bytes_to_fes().with_checksum::<LongBech32>(&hrp).chars());
    text
}

/// Why some text is not an age key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidKeyString {
    /// It is not Bech32, has a wrong checksum, or the wrong length: a typing mistake.
    Malformed,
    /// It is a key of another kind: a secret one where a public one belongs, or that of a plugin.
    Prefix,
    /// It spells something that is not a key.
    Key,
}

impl fmt::Display for InvalidKeyString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the key is mistyped: it does not have a right checksum",
            Self::Prefix => "the key is of another kind than the one that belongs here",
            Self::Key => "the text does not spell a key",
        })
    }
}

impl core::error::Error for InvalidKeyString {}
