use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use symbolon_keys::Backend;
#[cfg(feature = "std")]
use symbolon_keys::OsRng;

use crate::context::Context;
use crate::error::SealError;
use crate::file_key::FileKey;
use crate::joint::{self, Recipient};
use crate::payload::{self, NONCE_LEN, PayloadSealer, payload_len};

/// Seals `plaintext` for `recipients`, without a context. [`Seal`] has the other ways.
///
/// # Errors
/// [`SealError`].
#[cfg(feature = "std")]
pub fn seal(recipients: &[&dyn Recipient], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    Seal::to(recipients).bytes(plaintext)
}

/// How to seal: for whom, in which context, on which backend.
#[derive(Clone)]
#[must_use]
pub struct Seal<'a> {
    recipients: &'a [&'a dyn Recipient],
    context: Option<&'a Context>,
    pub(crate) backend: Backend,
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "streams and files use it"))]
    pub(crate) threads: usize,
}

impl<'a> Seal<'a> {
    /// For `recipients`: any of them opens the envelope.
    pub const fn to(recipients: &'a [&'a dyn Recipient]) -> Self {
        Self { recipients, context: None, backend: Backend::best(), threads: 1 }
    }

    /// With a context (C2), encrypted in the header.
    pub const fn context(mut self, context: &'a Context) -> Self {
        self.context = Some(context);
        self
    }

    /// On this backend; the best one otherwise.
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// With so many threads, for writers and files; one otherwise.
    #[cfg(feature = "std")]
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Seals a slice.
    ///
    /// # Errors
    /// [`SealError`].
    #[cfg(feature = "std")]
    pub fn bytes(&self, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        self.bytes_with(plaintext, &mut OsRng)
    }

    /// Seals a slice, with randomness from `rng`.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn bytes_with(&self, plaintext: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, SealError> {
        let (mut out, file_key, nonce) = self.header(rng)?;
        let len = u64::try_from(plaintext.len()).ok().and_then(payload_len);
        out.reserve_exact(len.and_then(|len| usize::try_from(len).ok()).ok_or(SealError::Failed)?);
        payload::seal_slice(&file_key, nonce, self.backend, plaintext, &mut out)?;
        Ok(out)
    }

    /// The header, and what seals the payload that follows it: for sockets, files and stores of any kind.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn begin(&self, rng: &mut dyn CryptoRng) -> Result<(Vec<u8>, PayloadSealer), SealError> {
        let (header, file_key, nonce) = self.header(rng)?;
        Ok((header, PayloadSealer::new(&file_key, nonce, self.backend)))
    }

    pub(crate) fn header(
        &self,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Vec<u8>, FileKey, [u8; NONCE_LEN]), SealError> {
        let file_key = FileKey::generate(rng);
        let header = joint::lock(&file_key, self.recipients, self.context, self.backend, rng)?;
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        Ok((header, file_key, nonce))
    }
}

impl fmt::Debug for Seal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recipients, context, backend, threads: _ } = self;
        write!(f, "Seal({} recipients, {context:?}, {backend})", recipients.len())
    }
}
