use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use symbolon_keys::Backend;
#[cfg(feature = "std")]
use symbolon_keys::OsRng;

use crate::context::Context;
use crate::error::{HeaderError, OpenError, RewrapError};
use crate::expect::Expect;
use crate::header::Header;
use crate::joint::{self, Identity, Recipient};

/// Puts a fresh header before the same payload: the cost is that of the header alone (E13, E14).
///
/// The file key is unwrapped, the header's MAC and context verified, and the key wrapped again for the named recipients
/// and nobody else; stanzas of others, known or not, are dropped.
///
/// # Security
/// - It does not look at the payload. Who opens the envelope does.
/// - It takes no access away: whoever could open the old header may have kept the file key. Only sealing anew does
///   (`docs/revocation.md`).
/// - It does not keep an old header from being put back: whoever stores headers keeps the sequence beside them.
#[derive(Clone)]
#[must_use]
pub struct Rewrap<'a> {
    from: Vec<&'a dyn Identity>,
    to: Vec<&'a dyn Recipient>,
    expect: Expect,
    context: Carry<'a>,
    backend: Backend,
}

#[derive(Clone, Debug)]
enum Carry<'a> {
    Same,
    Other(&'a Context),
    Nothing,
}

impl<'a> Rewrap<'a> {
    /// From what `identity` opens.
    pub fn from(identity: &'a dyn Identity) -> Self {
        Self {
            from: Vec::from([identity]),
            to: Vec::new(),
            expect: Expect::anything(),
            context: Carry::Same,
            backend: Backend::best(),
        }
    }

    /// For `recipient`; called again, for one more.
    pub fn to(mut self, recipient: &'a dyn Recipient) -> Self {
        self.to.push(recipient);
        self
    }

    /// Only if the context is as expected. Without this call, whatever it is.
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    /// With another context. Without this call, the same, under a new salt.
    pub const fn context(mut self, context: &'a Context) -> Self {
        self.context = Carry::Other(context);
        self
    }

    /// Without a context.
    pub const fn without_context(mut self) -> Self {
        self.context = Carry::Nothing;
        self
    }

    /// On this backend; the best one otherwise.
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Re-wraps a whole envelope, whose payload is copied as it is.
    ///
    /// # Errors
    /// [`RewrapError`].
    #[cfg(feature = "std")]
    pub fn apply(&self, sealed: &[u8]) -> Result<Vec<u8>, RewrapError> {
        let (header, payload) = Header::parse(sealed).map_err(OpenError::from)?;
        let mut out = self.header(&header)?;
        out.reserve_exact(payload.len());
        out.extend_from_slice(payload);
        Ok(out)
    }

    /// Re-wraps a header whose payload is kept elsewhere. `header` is exactly one header, without a payload.
    ///
    /// # Errors
    /// [`RewrapError`].
    #[cfg(feature = "std")]
    pub fn detached(&self, header: &[u8]) -> Result<Vec<u8>, RewrapError> {
        self.detached_with(header, &mut OsRng)
    }

    /// As [`Self::detached`], with randomness from `rng`.
    ///
    /// # Errors
    /// [`RewrapError`].
    pub fn detached_with(&self, header: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, RewrapError> {
        match Header::parse(header).map_err(OpenError::from)? {
            (header, []) => self.header_with(&header, rng),
            _ => Err(OpenError::from(HeaderError::Malformed).into()),
        }
    }

    /// Re-wraps many detached headers; each has its own result, and one that is refused stops no other.
    #[cfg(feature = "std")]
    pub fn batch<'h>(
        &self,
        headers: impl IntoIterator<Item = &'h [u8]>,
    ) -> impl Iterator<Item = Result<Vec<u8>, RewrapError>> {
        headers.into_iter().map(|header| self.detached(header))
    }

    /// Re-wraps a header that was read already.
    ///
    /// # Errors
    /// [`RewrapError`].
    #[cfg(feature = "std")]
    pub fn header(&self, header: &Header) -> Result<Vec<u8>, RewrapError> {
        self.header_with(header, &mut OsRng)
    }

    /// As [`Self::header`], with randomness from `rng`.
    ///
    /// # Errors
    /// [`RewrapError`].
    pub fn header_with(&self, header: &Header, rng: &mut dyn CryptoRng) -> Result<Vec<u8>, RewrapError> {
        Ok(self.rewrap(header, Context::clone, rng)?.0)
    }

    /// As [`Self::header_with`]; what the context stays is changed by `next`. Gives the new one, too.
    pub(crate) fn rewrap(
        &self,
        header: &Header,
        next: impl FnOnce(&Context) -> Context,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Vec<u8>, Option<Context>), RewrapError> {
        let (file_key, found) = joint::unlock(header, &self.from, &self.expect, self.backend)?;
        let context = match self.context {
            Carry::Same => found.as_ref().map(next),
            Carry::Other(context) => Some(context.clone()),
            Carry::Nothing => None,
        };
        let header = joint::lock(&file_key, &self.to, context.as_ref(), self.backend, rng)?;
        Ok((header, context))
    }
}

impl fmt::Debug for Rewrap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, expect, context, backend } = self;
        write!(f, "Rewrap({} -> {}, {expect:?}, {context:?}, {backend})", from.len(), to.len())
    }
}
