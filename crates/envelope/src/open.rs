use alloc::vec::Vec;
use core::fmt;
use core::mem;

use symbolon_keys::Backend;
use zeroize::Zeroizing;

use crate::context::{Context, Policy};
use crate::error::{HeaderError, OpenError};
use crate::expect::Expect;
use crate::file_key::FileKey;
use crate::header::{Header, HeaderReader};
use crate::joint::{self, Identity};
use crate::payload::{self, PayloadOpener};

/// Opens `sealed` with `identity`, if its context is as expected. [`Open`] has the other ways.
///
/// # Errors
/// [`OpenError`]; then no plaintext is given.
pub fn open(identity: &dyn Identity, expect: Expect, sealed: &[u8]) -> Result<Opened, OpenError> {
    Open::with(&[identity]).expect(expect).bytes(sealed)
}

/// How to open: with which keys, expecting which context, on which backend.
#[derive(Clone)]
#[must_use]
pub struct Open<'a> {
    identities: &'a [&'a dyn Identity],
    expect: Expect,
    pub(crate) backend: Backend,
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "streams and files use it"))]
    pub(crate) threads: usize,
}

impl<'a> Open<'a> {
    /// With whichever of `identities` fits. An envelope with a context is refused unless [`Open::expect`] asks for it.
    pub const fn with(identities: &'a [&'a dyn Identity]) -> Self {
        Self { identities, expect: Expect::absent(), backend: Backend::best(), threads: 1 }
    }

    /// Expecting this context.
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    /// On this backend; the best one otherwise.
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// With so many threads, for readers and files; one otherwise.
    #[cfg(feature = "std")]
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Opens a slice.
    ///
    /// # Errors
    /// [`OpenError`]; then no plaintext is given.
    pub fn bytes(&self, sealed: &[u8]) -> Result<Opened, OpenError> {
        let (header, payload) = Header::parse(sealed)?;
        let (file_key, context) = self.unlock(&header)?;
        // More than the plaintext needs, so that it is never moved and left behind.
        let mut plaintext = Zeroizing::new(Vec::with_capacity(payload.len()));
        payload::open_slice(&file_key, self.backend, payload, &mut plaintext)?;
        Ok(Opened { context, plaintext })
    }

    /// Opens a header that was read already; gives its context, and what opens the payload that follows it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn header(&self, header: &Header) -> Result<(Option<Context>, PayloadOpener), OpenError> {
        let (file_key, context) = self.unlock(header)?;
        Ok((context, PayloadOpener::new(file_key, self.backend)))
    }

    pub(crate) fn unlock(&self, header: &Header) -> Result<(FileKey, Option<Context>), OpenError> {
        joint::unlock(header, self.identities, &self.expect, self.backend)
    }

    /// Opens an envelope piece by piece, header and all.
    pub const fn begin(self) -> OpenStream<'a> {
        OpenStream { open: self, state: State::Header(HeaderReader::new()), context: None }
    }
}

impl fmt::Debug for Open<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identities, expect, backend, threads: _ } = self;
        write!(f, "Open({} identities, {expect:?}, {backend})", identities.len())
    }
}

/// What was in an envelope. The plaintext is wiped when it is dropped.
pub struct Opened {
    context: Option<Context>,
    plaintext: Zeroizing<Vec<u8>>,
}

impl Opened {
    /// The context, if there is one.
    #[must_use]
    pub const fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    /// The policy that whoever opens it is asked to honour; [`Policy::NONE`] without a context.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        Policy::of(self.context())
    }

    /// The plaintext.
    #[must_use]
    pub fn plaintext(&self) -> &[u8] {
        &self.plaintext
    }

    /// The plaintext as a vector, which nobody wipes any more.
    #[must_use]
    pub fn into_plaintext(mut self) -> Vec<u8> {
        mem::take(&mut *self.plaintext)
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { context, plaintext } = self;
        write!(f, "Opened({context:?}, {} bytes)", plaintext.len())
    }
}

/// Opens an envelope piece by piece: sealed bytes in, plaintext out. No input or output of its own.
#[must_use = "an envelope is whole only when finish says so"]
pub struct OpenStream<'a> {
    open: Open<'a>,
    state: State,
    context: Option<Context>,
}

enum State {
    Header(HeaderReader),
    Payload(PayloadOpener),
    /// After an error nothing more comes out.
    Failed(OpenError),
}

impl OpenStream<'_> {
    /// Takes bytes of the envelope; appends to `out` what is verified.
    ///
    /// # Errors
    /// [`OpenError`]; after one, the same again.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
        let outcome = self.advance(input, out);
        if let Err(error) = outcome {
            self.state = State::Failed(error);
        }
        outcome
    }

    fn advance(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
        match &mut self.state {
            State::Header(reader) => {
                let (consumed, Some(header)) = reader.push(input)? else { return Ok(()) };
                let (context, mut payload) = self.open.header(&header)?;
                payload.push(input.get(consumed..).unwrap_or_default(), out)?;
                self.context = context;
                self.state = State::Payload(payload);
                Ok(())
            }
            State::Payload(payload) => Ok(payload.push(input, out)?),
            State::Failed(error) => Err(*error),
        }
    }

    /// Whether the header is read and opened.
    #[must_use]
    pub const fn is_unlocked(&self) -> bool {
        matches!(self.state, State::Payload(_))
    }

    /// The context, once [`Self::is_unlocked`], if there is one.
    #[must_use]
    pub const fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    /// The policy that whoever opens it is asked to honour, once [`Self::is_unlocked`]; [`Policy::NONE`] without a context.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        Policy::of(self.context())
    }

    /// The end of the envelope: verifies the final chunk, and appends its plaintext.
    ///
    /// # Errors
    /// [`OpenError`]: the envelope is not whole.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), OpenError> {
        match self.state {
            State::Header(_) => Err(HeaderError::Truncated.into()),
            State::Payload(payload) => Ok(payload.finish(out)?),
            State::Failed(error) => Err(error),
        }
    }
}

impl fmt::Debug for OpenStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, state, context: _ } = self;
        let state = match state {
            State::Header(_) => "in the header",
            State::Payload(_) => "in the payload",
            State::Failed(_) => "failed",
        };
        write!(f, "OpenStream({open:?}, {state})")
    }
}
