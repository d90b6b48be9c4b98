//! The joint of the format: recipients wrap a file key, identities unwrap it.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use symbolon_keys::{Backend, label};

use crate::context::{self, Context};
use crate::error::{OpenError, SealError};
use crate::expect::Expect;
use crate::file_key::FileKey;
use crate::header::{self, Header};
use crate::stanza::Stanza;

/// Somebody for whom a file key can be wrapped.
pub trait Recipient: Send + Sync {
    /// Wraps `file_key` into a stanza.
    ///
    /// # Errors
    /// [`SealError`] if this recipient cannot be sealed to.
    fn wrap(
        &self,
        file_key: &FileKey,
        binding: &Binding,
        rng: &mut dyn CryptoRng,
    ) -> Result<Stanza, SealError>;

    /// With whom it may share an envelope.
    fn company(&self) -> Company {
        Company::Classical
    }
}

/// With whom a recipient may share an envelope, which is as strong as its weakest stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Company {
    /// Anybody but a passphrase: a symmetric key, for which a quantum computer changes little.
    Any,
    /// Anybody whose key agreement a quantum computer breaks.
    Classical,
    /// Anybody whose key agreement it does not break.
    PostQuantum,
    /// Nobody: a passphrase, from which the opener concludes who sealed.
    Alone,
}

/// Somebody who can unwrap a file key.
pub trait Identity: Send + Sync {
    /// The file key in `stanza`; none if the stanza is of another type or for another key.
    ///
    /// # Errors
    /// [`OpenError`] if the stanza is for this identity, and malformed or refused.
    fn unwrap(&self, stanza: &Stanza, binding: &Binding) -> Result<Option<FileKey>, OpenError>;
}

/// What else goes into a wrap: the hash of the context stanza (C1), and the backend that computes.
#[derive(Clone, Debug)]
pub struct Binding {
    hash: Option<[u8; 32]>,
    backend: Backend,
}

impl Binding {
    pub(crate) fn new(context: Option<&Stanza>, backend: Backend) -> Self {
        // C1: ctx
        let hash = context.map(|stanza| {
            let mut written = Vec::with_capacity(512);
            stanza.write(&mut written);
            Sha256::new()
                .chain_update(label::ENVELOPE_CTX.as_bytes())
                .chain_update(&written)
                .finalize()
                .into()
        });
        Self { hash, backend }
    }

    /// The hash of the context stanza; empty if there is none.
    #[must_use]
    pub fn context(&self) -> &[u8] {
        self.hash.as_ref().map_or(&[], |hash| hash)
    }

    /// The backend that computes.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }
}

/// A new header around `file_key`.
pub(crate) fn lock(
    file_key: &FileKey,
    recipients: &[&dyn Recipient],
    context: Option<&Context>,
    backend: Backend,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, SealError> {
    check_company(recipients, context.is_some())?;
    let context = context.map(|context| context::seal(context, file_key, backend, rng)).transpose()?;
    let binding = Binding::new(context.as_ref(), backend);
    let mut stanzas: Vec<Stanza> = context.into_iter().collect();
    for recipient in recipients {
        stanzas.push(recipient.wrap(file_key, &binding, rng)?);
    }
    header::write(&stanzas, |authenticated| file_key.header_mac(authenticated)).ok_or(SealError::TooLong)
}

fn check_company(recipients: &[&dyn Recipient], context: bool) -> Result<(), SealError> {
    let has = |company| recipients.iter().any(|recipient| recipient.company() == company);
    if recipients.is_empty() {
        return Err(SealError::NoRecipients);
    }
    if has(Company::Alone) && (recipients.len() > 1 || context)
        || has(Company::PostQuantum) && has(Company::Classical)
    {
        return Err(SealError::Mixed);
    }
    Ok(())
}

/// The file key and context of a header: the first stanza that one of `identities` unwraps, with the header's MAC and
/// the expected context checked.
pub(crate) fn unlock(
    header: &Header,
    identities: &[&dyn Identity],
    expect: &Expect,
    backend: Backend,
) -> Result<(FileKey, Option<Context>), OpenError> {
    let binding = Binding::new(header.context(), backend);
    let file_key = unwrap_first(header, identities, &binding)?;
    file_key.verify(header)?;
    let context = header.context().map(|stanza| context::open(stanza, &file_key, backend)).transpose()?;
    expect.check(context.as_ref())?;
    Ok((file_key, context))
}

fn unwrap_first(
    header: &Header,
    identities: &[&dyn Identity],
    binding: &Binding,
) -> Result<FileKey, OpenError> {
    let mut reason = OpenError::NoMatch;
    for stanza in header.stanzas() {
        for identity in identities {
            match identity.unwrap(stanza, binding) {
                Ok(Some(file_key)) => return Ok(file_key),
                Ok(None) => {}
                Err(error) if error.is_passing() => reason = error,
                Err(error) => return Err(error),
            }
        }
    }
    Err(reason)
}
