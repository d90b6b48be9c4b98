//! ChaCha20-Poly1305 (RFC 8439) on either backend.

use core::fmt;

#[cfg(feature = "aws-lc")]
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20poly1305::ChaCha20Poly1305;
#[cfg(feature = "hazmat")]
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{AeadInOut, KeyInit};

use crate::Backend;
use crate::error::Rejected;
use crate::secret::Secret;

/// Bytes that authenticated encryption adds.
pub const TAG_LEN: usize = 16;

/// The most plaintext under one nonce: the 32-bit block counter of RFC 8439 ends there.
const MAX_PLAINTEXT: u64 = 0xFFFF_FFFF * 64;

/// A key prepared for ChaCha20-Poly1305, with the nonce left to the protocol that uses it.
///
/// # Security
/// The same nonce twice is fatal. In this workspace only Noise cipher states, age payloads and the key sequence use
/// this type; each counts its nonces where no caller reaches them.
pub struct ChaChaPoly(Imp);

/// Neither is on our heap: a key for one message costs no allocation. aws-lc keeps its own, and wipes it.
enum Imp {
    Portable(ChaCha20Poly1305),
    #[cfg(feature = "aws-lc")]
    AwsLc(LessSafeKey),
}

impl ChaChaPoly {
    /// Prepares `key` for `backend`.
    #[must_use]
    pub fn new(backend: Backend, key: &Secret<32>) -> Self {
        match backend {
            #[cfg(feature = "aws-lc")]
            Backend::AwsLc => match UnboundKey::new(&CHACHA20_POLY1305, key.expose()) {
                Ok(unbound) => Self(Imp::AwsLc(LessSafeKey::new(unbound))),
                // Out of memory in C, as the key has the right length: the other backend gives the same bytes.
                Err(_) => Self::portable(key),
            },
            Backend::Portable => Self::portable(key),
        }
    }

    fn portable(key: &Secret<32>) -> Self {
        Self(Imp::Portable(ChaCha20Poly1305::new(key.expose().into())))
    }

    /// Encrypts `data` in place and returns the tag.
    ///
    /// # Errors
    /// [`Rejected`] if `data` is longer than one nonce can encrypt (256 GiB).
    pub fn seal_in_place(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Rejected> {
        check_length(data.len())?;
        match &self.0 {
            Imp::Portable(key) => {
                let tag =
                    key.encrypt_inout_detached(&nonce.into(), aad, data.into()).map_err(|_| Rejected)?;
                Ok(tag.into())
            }
            #[cfg(feature = "aws-lc")]
            Imp::AwsLc(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag =
                    key.seal_in_place_separate_tag(nonce, Aad::from(aad), data).map_err(|_| Rejected)?;
                tag.as_ref().try_into().map_err(|_| Rejected)
            }
        }
    }

    /// Decrypts `data` in place if `tag` is right.
    ///
    /// # Errors
    /// [`Rejected`] if it is not; then `data` is unspecified and must not be used.
    pub fn open_in_place(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Rejected> {
        check_length(data.len())?;
        match &self.0 {
            Imp::Portable(key) => key
                .decrypt_inout_detached(&nonce.into(), aad, data.into(), &(*tag).into())
                .map_err(|_| Rejected),
            #[cfg(feature = "aws-lc")]
            Imp::AwsLc(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, data).map_err(|_| Rejected)?;
                Ok(())
            }
        }
    }

    /// Encrypts `plaintext` into `out`, which has its length, and returns the tag.
    ///
    /// # Errors
    /// [`Rejected`] if the lengths differ, or are longer than one nonce can encrypt.
    #[cfg(feature = "hazmat")]
    pub fn seal_to(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Rejected> {
        check_length(plaintext.len())?;
        match &self.0 {
            Imp::Portable(key) => {
                let io = InOutBuf::new(plaintext, out).map_err(|_| Rejected)?;
                let tag = key.encrypt_inout_detached(&nonce.into(), aad, io).map_err(|_| Rejected)?;
                Ok(tag.into())
            }
            #[cfg(feature = "aws-lc")]
            Imp::AwsLc(_) => {
                if plaintext.len() != out.len() {
                    return Err(Rejected);
                }
                out.copy_from_slice(plaintext);
                self.seal_in_place(nonce, aad, out)
            }
        }
    }

    /// Decrypts `ciphertext` into `out`, which has its length, if `tag` is right.
    ///
    /// # Errors
    /// [`Rejected`] if it is not, or the lengths differ; then `out` is unspecified and must not be used.
    #[cfg(feature = "hazmat")]
    pub fn open_to(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), Rejected> {
        check_length(ciphertext.len())?;
        if ciphertext.len() != out.len() {
            return Err(Rejected);
        }
        match &self.0 {
            Imp::Portable(key) => {
                let io = InOutBuf::new(ciphertext, out).map_err(|_| Rejected)?;
                key.decrypt_inout_detached(&nonce.into(), aad, io, &(*tag).into()).map_err(|_| Rejected)
            }
            #[cfg(feature = "aws-lc")]
            Imp::AwsLc(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out).map_err(|_| Rejected)
            }
        }
    }
}

fn check_length(len: usize) -> Result<(), Rejected> {
    match u64::try_from(len) {
        Ok(len) if len <= MAX_PLAINTEXT => Ok(()),
        _ => Err(Rejected),
    }
}

impl fmt::Debug for ChaChaPoly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Imp::Portable(_) => "ChaChaPoly(portable, ..)",
            #[cfg(feature = "aws-lc")]
            Imp::AwsLc(_) => "ChaChaPoly(aws-lc, ..)",
        })
    }
}

/// A key for one message: sealing or opening consumes it, under the all-zero nonce.
///
/// ```compile_fail
/// # use symbolon_keys::{Backend, OneTimeKey, Secret};
/// let key = OneTimeKey::new(Backend::best(), &Secret::from([7; 32]));
/// let mut message = *b"hello";
/// key.seal_in_place(b"", &mut message)?;
/// key.seal_in_place(b"", &mut message)?; // used once already
/// # Ok::<(), symbolon_keys::Rejected>(())
/// ```
/// ```
/// # use symbolon_keys::{Backend, OneTimeKey, Secret};
/// let key = OneTimeKey::new(Backend::best(), &Secret::from([7; 32]));
/// let mut message = *b"hello";
/// let tag = key.seal_in_place(b"", &mut message)?;
/// # Ok::<(), symbolon_keys::Rejected>(())
/// ```
#[derive(Debug)]
pub struct OneTimeKey(ChaChaPoly);

impl OneTimeKey {
    /// Prepares `key`, which nothing else may use, for `backend`.
    #[must_use]
    pub fn new(backend: Backend, key: &Secret<32>) -> Self {
        Self(ChaChaPoly::new(backend, key))
    }

    /// Encrypts `data` in place and returns the tag.
    ///
    /// # Errors
    /// [`Rejected`] if `data` is longer than 256 GiB.
    pub fn seal_in_place(self, aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG_LEN], Rejected> {
        self.0.seal_in_place([0; 12], aad, data)
    }

    /// Decrypts `data` in place if `tag` is right.
    ///
    /// # Errors
    /// [`Rejected`] if it is not; then `data` is unspecified and must not be used.
    pub fn open_in_place(self, aad: &[u8], data: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), Rejected> {
        self.0.open_in_place([0; 12], aad, data, tag)
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// RFC 8439, section 2.8: at most 274,877,906,880 bytes.
    #[test]
    fn one_nonce_encrypts_256_gib_less_a_block() {
        assert_eq!(check_length(274_877_906_880), Ok(()));
        assert_eq!(check_length(274_877_906_881), Err(Rejected));
        assert_eq!(check_length(usize::MAX), Err(Rejected));
    }
}
