//! C2: what an envelope is, encrypted inside its header.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use symbolon_keys::wire::{Malformed, Reader, TooLong, put_lp};
use symbolon_keys::{Backend, Id, OneTimeKey, TAG_LEN, label};
use zeroize::Zeroizing;

use crate::error::{ContextError, HeaderError, OpenError, SealError};
use crate::file_key::FileKey;
use crate::records::RecordId;
use crate::stanza::{Stanza, decode, encode, ns};

/// The type of the context stanza.
pub(crate) const KIND: &str = ns!("context");

/// C2: the body is at most 4 KiB.
const MAX_BODY: usize = 4096;
const VERSION: u8 = 1;
const SALT_LEN: usize = 24;
/// What the plaintext is padded to, so that its length says little about realm and owner.
const BLOCK: usize = 64;

/// What an envelope is: which record of whom, at which version, under which policy.
///
/// It is encrypted in the header. Wraps under shared keys and server keys are bound to it, so that only a holder of the
/// wrapping key can change it under that stanza; wraps for age keys are not, and prove no origin at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    realm: Option<Id>,
    record: RecordId,
    owner: Option<Id>,
    sequence: u64,
    policy: Policy,
    parameters: Vec<u8>,
}

impl Context {
    /// The context of a record of `owner` in `realm`, at sequence 0 and without a policy.
    #[must_use]
    pub fn new(realm: Id, record: RecordId, owner: Id) -> Self {
        Self { realm: Some(realm), owner: Some(owner), ..Self::of(record) }
    }

    /// The context of a record without realm and owner.
    #[must_use]
    pub const fn of(record: RecordId) -> Self {
        Self { realm: None, record, owner: None, sequence: 0, policy: Policy::NONE, parameters: Vec::new() }
    }

    /// At this version of the record.
    #[must_use]
    pub const fn at(mut self, sequence: u64) -> Self {
        self.sequence = sequence;
        self
    }

    /// Under this policy.
    #[must_use]
    pub const fn under(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// With parameters, such as those of the policy: the application's own, at most about 3.8 KiB.
    #[must_use]
    pub fn with(mut self, parameters: Vec<u8>) -> Self {
        self.parameters = parameters;
        self
    }

    /// The realm: which installation, so that two that share a user do not share envelopes.
    #[must_use]
    pub const fn realm(&self) -> Option<Id> {
        self.realm
    }

    /// The record.
    #[must_use]
    pub const fn record(&self) -> RecordId {
        self.record
    }

    /// The user it belongs to.
    #[must_use]
    pub const fn owner(&self) -> Option<Id> {
        self.owner
    }

    /// The version of the record.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What those who open it are asked to honour.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// The application's own parameters.
    #[must_use]
    pub fn parameters(&self) -> &[u8] {
        &self.parameters
    }

    /// C2: plain
    fn to_plain(&self) -> Result<Zeroizing<Vec<u8>>, TooLong> {
        let Self { realm, record, owner, sequence, policy, parameters } = self;
        let mut plain = Zeroizing::new(Vec::with_capacity(256));
        plain.push(VERSION);
        put_lp(&mut plain, realm.as_ref().map_or(&[], Id::as_bytes))?;
        plain.extend_from_slice(record.as_bytes());
        put_lp(&mut plain, owner.as_ref().map_or(&[], Id::as_bytes))?;
        plain.extend_from_slice(&sequence.to_be_bytes());
        plain.extend_from_slice(&policy.0.to_be_bytes());
        put_lp(&mut plain, parameters)?;
        plain.push(0x80);
        let padded = plain.len().next_multiple_of(BLOCK);
        plain.resize(padded, 0);
        Ok(plain)
    }

    fn from_plain(plain: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(plain);
        r.expect(&[VERSION])?;
        let context = Self {
            realm: optional_id(r.lp()?)?,
            record: r.array()?.into(),
            owner: optional_id(r.lp()?)?,
            sequence: r.u64()?,
            policy: Policy(r.u32()?),
            parameters: r.lp()?.to_vec(),
        };
        r.expect(&[0x80])?;
        let padding = r.rest();
        if !plain.len().is_multiple_of(BLOCK)
            || padding.len() >= BLOCK
            || padding.iter().any(|&byte| byte != 0)
        {
            return Err(Malformed);
        }
        Ok(context)
    }
}

fn optional_id(bytes: &[u8]) -> Result<Option<Id>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    Id::from_bytes(bytes).map(Some).map_err(|_| Malformed)
}

/// What those who open an envelope are asked to honour.
///
/// # Security
/// A policy binds programs that respect it. Who holds the key can do with the plaintext whatever they like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy(u32);

impl Policy {
    /// No policy.
    pub const NONE: Self = Self(0);
    /// Show, and offer no way to keep (E6). [`Open::file`](crate::Open::file) refuses such an envelope.
    pub const VIEW_ONLY: Self = Self(1);

    /// A policy from its bits; the lower sixteen are this crate's, the upper sixteen the application's.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Its bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether programs that honour the policy show the plaintext, and offer no way to keep it.
    #[must_use]
    pub const fn is_view_only(self) -> bool {
        self.contains(Self::VIEW_ONLY)
    }

    /// That of an envelope with this context.
    pub(crate) const fn of(context: Option<&Context>) -> Self {
        match context {
            Some(context) => context.policy,
            None => Self::NONE,
        }
    }

    /// Whether all bits of `other` are in this one.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The stanza of `context`, with a new salt.
pub(crate) fn seal(
    context: &Context,
    file_key: &FileKey,
    backend: Backend,
    rng: &mut dyn CryptoRng,
) -> Result<Stanza, SealError> {
    let mut salt = [0; SALT_LEN];
    rng.fill_bytes(&mut salt);
    let mut body = context.to_plain().map_err(|_| SealError::Context)?;
    if body.len().saturating_add(TAG_LEN) > MAX_BODY {
        return Err(SealError::Context);
    }
    let key = key(file_key, &salt, backend).map_err(|_| SealError::Failed)?;
    let tag = key.seal_in_place(b"", &mut body).map_err(|_| SealError::Failed)?;
    let sealed = [body.as_slice(), &tag].concat();
    Stanza::new(&[KIND, &encode(&salt)], sealed).map_err(|_| SealError::Failed)
}

/// The context in `stanza`.
pub(crate) fn open(stanza: &Stanza, file_key: &FileKey, backend: Backend) -> Result<Context, OpenError> {
    let [salt] = stanza.exactly()?;
    let salt = decode::<SALT_LEN>(salt)?;
    let (sealed, tag) = stanza.body().split_last_chunk::<TAG_LEN>().ok_or(HeaderError::Stanza)?;
    if stanza.body().len() > MAX_BODY {
        return Err(HeaderError::Stanza.into());
    }
    let mut plain = Zeroizing::new(sealed.to_vec());
    let key = key(file_key, &salt, backend).map_err(|_| ContextError::Malformed)?;
    key.open_in_place(b"", &mut plain, tag).map_err(|_| ContextError::Malformed)?;
    Ok(Context::from_plain(&plain).map_err(|_| ContextError::Malformed)?)
}

/// C2: key
fn key(file_key: &FileKey, salt: &[u8; SALT_LEN], backend: Backend) -> Result<OneTimeKey, TooLong> {
    let root = file_key.extract(label::ENVELOPE_CONTEXT);
    Ok(OneTimeKey::new(backend, &root.derive(label::ENVELOPE_CONTEXT, &[salt])?))
}
