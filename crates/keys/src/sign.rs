use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek as ed25519;
use ed25519_dalek::Signer;
use rand_core::CryptoRng;

use crate::Label;
use crate::error::{InvalidKey, Rejected};
use crate::secret::Secret;
use crate::wire::{TooLong, put_lp};

#[cfg(test)]
mod tests;

/// A key for Ed25519 signatures (RFC 8032) under a purpose.
///
/// What is signed is `LP(purpose) || LP(field 1) || .. || LP(field n)`: a signature made for one purpose means nothing
/// for another, and no two lists of fields read the same.
///
/// ```
/// # #[cfg(feature = "getrandom")] {
/// # use symbolon_keys::{Label, OsRng, SigningKey};
/// const RECEIPT: Label = Label::new("example.org/receipt/v1");
/// let key = SigningKey::generate(&mut OsRng);
/// let signature = key.sign(RECEIPT, &[b"order 7", b"paid"]).unwrap();
/// key.verifying_key().verify(RECEIPT, &[b"order 7", b"paid"], &signature).unwrap();
/// # }
/// ```
pub struct SigningKey(ed25519::SigningKey);

impl SigningKey {
    /// A new random key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::from_seed(&Secret::generate(rng))
    }

    /// The key of a 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &Secret<32>) -> Self {
        Self(ed25519::SigningKey::from_bytes(seed.expose()))
    }

    /// Its public key.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs `fields` for `purpose`.
    ///
    /// # Errors
    /// [`TooLong`] if a field has more than 65,535 bytes.
    pub fn sign(&self, purpose: Label, fields: &[&[u8]]) -> Result<Signature, TooLong> {
        Ok(self.sign_message(&message(purpose, fields)?))
    }

    fn sign_message(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        write!(f, "SigningKey({}, ..)", self.verifying_key())
    }
}

/// A public key for Ed25519, of full order, in its canonical encoding.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey(ed25519::VerifyingKey);

impl VerifyingKey {
    /// Checks and takes the 32 bytes of a public key.
    ///
    /// # Errors
    /// [`InvalidKey`] if they are not a point, not canonical, or of low order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, InvalidKey> {
        let key = ed25519::VerifyingKey::from_bytes(bytes).map_err(|_| InvalidKey::Malformed)?;
        if key.is_weak() {
            return Err(InvalidKey::LowOrder);
        }
        // Decompression takes y modulo p; compressing the point again shows whether it was reduced.
        if key.to_edwards().compress().as_bytes() != bytes {
            return Err(InvalidKey::NonCanonical);
        }
        Ok(Self(key))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Checks a signature over `fields` for `purpose`, strictly (RFC 8032 without the cofactor, no low order).
    ///
    /// # Errors
    /// [`Rejected`] if it is not one.
    pub fn verify(&self, purpose: Label, fields: &[&[u8]], signature: &Signature) -> Result<(), Rejected> {
        self.verify_message(&message(purpose, fields).map_err(|_| Rejected)?, signature)
    }

    fn verify_message(&self, message: &[u8], signature: &Signature) -> Result<(), Rejected> {
        self.0.verify_strict(message, &ed25519::Signature::from_bytes(&signature.0)).map_err(|_| Rejected)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

/// An Ed25519 signature: 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// The 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl From<[u8; 64]> for Signature {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

fn message(purpose: Label, fields: &[&[u8]]) -> Result<Vec<u8>, TooLong> {
    let mut message = Vec::new();
    put_lp(&mut message, purpose.as_bytes())?;
    for field in fields {
        put_lp(&mut message, field)?;
    }
    Ok(message)
}
