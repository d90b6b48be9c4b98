//! C1: the private server key in its versions, and the stanza `server-key`.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use symbolon_keys::wire::{Malformed, Reader, put_lp};
use symbolon_keys::{Id, RootKey, Secret, extract, label};
use zeroize::Zeroizing;

use crate::error::{HeaderError, OpenError, SealError};
use crate::expect::Expect;
use crate::file_key::FileKey;
use crate::joint::{Binding, Company, Identity, Recipient};
use crate::open::Open;
use crate::seal::Seal;
use crate::stanza::{Stanza, decode, encode, ns};
use crate::wrap::Committed;

const KIND: &str = ns!("server-key");
const SALT_LEN: usize = 24;

/// The private server key (E2): a ring of versions. The newest seals, so that it is the minimum for sealing as well;
/// those from [`Self::minimum`] on open.
///
/// Rotating adds a version. [`crate::Custodian`] then re-wraps what is under older ones, after which they can be
/// retired (refused) and destroyed (gone, with whatever was still under them).
pub struct ServerKeys {
    versions: BTreeMap<u32, RootKey>,
    current: u32,
    minimum: u32,
    decoys: RootKey,
}

impl ServerKeys {
    /// The most versions of a ring: a rotation every week for 19 years.
    pub const MAX_VERSIONS: usize = 1000;

    /// A new ring with version 1.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let versions = BTreeMap::from([(1, RootKey::generate(rng))]);
        Self { versions, current: 1, minimum: 1, decoys: RootKey::generate(rng) }
    }

    /// A ring with one version, whose key is known: one that was agreed on elsewhere, or that of a test vector.
    ///
    /// # Errors
    /// [`RingError::NoSuchVersion`] if `version` is zero.
    pub fn from_key(version: u32, key: Secret<32>) -> Result<Self, RingError> {
        if version == 0 {
            return Err(RingError::NoSuchVersion);
        }
        let decoys = extract(label::UNKNOWN_SALT, key.expose());
        Ok(Self { versions: BTreeMap::from([(version, key.into())]), current: version, minimum: 1, decoys })
    }

    /// The newest version: what to seal under.
    #[must_use]
    pub const fn current(&self) -> ServerKey<'_> {
        ServerKey { ring: self, version: self.current }
    }

    /// The number of the newest version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.current
    }

    /// The oldest version that still opens.
    #[must_use]
    pub const fn minimum(&self) -> u32 {
        self.minimum
    }

    /// The versions whose keys are there.
    pub fn versions(&self) -> impl Iterator<Item = u32> {
        self.versions.keys().copied()
    }

    /// Adds a version, which becomes the current one.
    ///
    /// # Errors
    /// [`RingError::Full`]: destroy old versions first.
    pub fn rotate<R: CryptoRng + ?Sized>(&mut self, rng: &mut R) -> Result<u32, RingError> {
        let next = self.current.checked_add(1).ok_or(RingError::Full)?;
        if self.versions.len() >= Self::MAX_VERSIONS {
            return Err(RingError::Full);
        }
        self.versions.insert(next, RootKey::generate(rng));
        self.current = next;
        Ok(next)
    }

    /// The same ring with one more version, which is its current one.
    ///
    /// This is how a running server rotates: export the new ring, make that durable, and only then
    /// [`install`](crate::Custodian::install) it. What was sealed under a version that is lost is lost.
    ///
    /// # Errors
    /// [`RingError::Full`]: destroy old versions first.
    pub fn rotated<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> Result<Self, RingError> {
        let copy = |key: &RootKey| RootKey::from(Secret::init_with(|out| *out = *key.expose()));
        let mut next = Self {
            versions: self.versions.iter().map(|(version, key)| (*version, copy(key))).collect(),
            current: self.current,
            minimum: self.minimum,
            decoys: copy(&self.decoys),
        };
        next.rotate(rng)?;
        Ok(next)
    }

    /// Whether this ring has every key of `older` that is not retired here.
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "the engine uses it"))]
    pub(crate) fn succeeds(&self, older: &Self) -> bool {
        let kept = older.versions.range(self.minimum..);
        self.current >= older.current
            && bool::from(self.decoys.ct_eq(&older.decoys))
            && kept.fold(true, |all, (version, key)| {
                all & self.versions.get(version).is_some_and(|mine| mine.ct_eq(key).into())
            })
    }

    /// Refuses, from now on, whatever is under a version below `minimum`. Their keys stay: it can be taken back.
    ///
    /// # Errors
    /// [`RingError::NoSuchVersion`] if `minimum` is not between 1 and the current version.
    pub const fn retire(&mut self, minimum: u32) -> Result<(), RingError> {
        if minimum == 0 || minimum > self.current {
            return Err(RingError::NoSuchVersion);
        }
        self.minimum = minimum;
        Ok(())
    }

    /// Destroys the keys of all retired versions, and so whatever is still under them. Gives how many.
    ///
    /// # Security
    /// - Exported copies of the ring keep them: replace those too.
    /// - Re-wrap first ([`rewrap_step`](crate::Custodian::rewrap_step), to its end and without failures). From its first
    ///   step on the stores take nothing under older versions, so that nothing comes later.
    pub fn destroy_retired(&mut self) -> usize {
        let before = self.versions.len();
        self.versions = self.versions.split_off(&self.minimum);
        before.saturating_sub(self.versions.len())
    }

    /// The ring in an envelope for `recipients`: to keep it, and to give it to other processes of the same server.
    ///
    /// # Errors
    /// [`SealError`].
    ///
    /// # Security
    /// An older export put back brings back retired versions, and loses newer ones.
    pub fn export(
        &self,
        recipients: &[&dyn Recipient],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        Seal::to(recipients).bytes_with(&self.to_bytes().ok_or(SealError::Failed)?, rng)
    }

    /// The ring from what [`Self::export`] made.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn import(identities: &[&dyn Identity], sealed: &[u8]) -> Result<Self, RingError> {
        let opened =
            Open::with(identities).expect(Expect::absent()).bytes(sealed).map_err(RingError::Open)?;
        Self::from_bytes(opened.plaintext()).map_err(|_| RingError::Malformed)
    }

    /// A stable salt for a user who does not exist (C8), so that asking does not tell.
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "the engine uses it"))]
    pub(crate) fn decoy_salt(&self, realm: Id, user: Id) -> [u8; 16] {
        let salt = self.decoys.derive::<16>(label::UNKNOWN_SALT, &[realm.as_bytes(), user.as_bytes()]);
        salt.map(|salt| *salt.expose()).unwrap_or_default()
    }

    fn to_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        let Self { versions, current, minimum, decoys } = self;
        // Reserved in full, so that no copy of the keys is left behind by growing.
        let mut out =
            Zeroizing::new(Vec::with_capacity(versions.len().saturating_mul(36).saturating_add(128)));
        put_lp(&mut out, label::SERVER_KEYS.as_bytes()).ok()?;
        out.extend_from_slice(&minimum.to_be_bytes());
        out.extend_from_slice(decoys.expose());
        out.extend_from_slice(&u16::try_from(versions.len()).ok()?.to_be_bytes());
        for (version, key) in versions {
            out.extend_from_slice(&version.to_be_bytes());
            out.extend_from_slice(key.expose());
        }
        versions.contains_key(current).then_some(out)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        if r.lp()? != label::SERVER_KEYS.as_bytes() {
            return Err(Malformed);
        }
        let (minimum, decoys) = (r.u32()?, secret(&mut r)?.into());
        let mut versions = BTreeMap::new();
        let mut current = 0;
        for _ in 0..r.u16()? {
            let version = r.u32()?;
            if version <= current {
                return Err(Malformed);
            }
            current = version;
            versions.insert(version, secret(&mut r)?.into());
        }
        r.finish()?;
        if versions.is_empty() || versions.len() > Self::MAX_VERSIONS || !(1..=current).contains(&minimum) {
            return Err(Malformed);
        }
        Ok(Self { versions, current, minimum, decoys })
    }
}

fn secret(r: &mut Reader<'_>) -> Result<Secret<32>, Malformed> {
    let bytes = r.take(32)?;
    Ok(Secret::init_with(|out| out.copy_from_slice(bytes)))
}

impl fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { versions: _, current, minimum, decoys: _ } = self;
        write!(f, "ServerKeys({minimum}..={current}, ..)")
    }
}

/// Why a ring of server keys is not changed or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError {
    /// It has [`ServerKeys::MAX_VERSIONS`] versions.
    Full,
    /// There is no such version.
    NoSuchVersion,
    /// It lacks keys of the ring that it should replace, and what is under them would be lost.
    Unrelated,
    /// The export does not open.
    Open(OpenError),
    /// What is in it is not a ring.
    Malformed,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the ring of server keys is full: destroy retired versions first"),
            Self::NoSuchVersion => f.write_str("the ring of server keys has no such version"),
            Self::Unrelated => f.write_str("the ring of server keys lacks keys that are in use"),
            Self::Open(error) => error.fmt(f),
            Self::Malformed => f.write_str("the envelope does not hold a ring of server keys"),
        }
    }
}

impl core::error::Error for RingError {}

/// One version of the private server key, to seal under.
#[derive(Clone, Copy, Debug)]
pub struct ServerKey<'a> {
    ring: &'a ServerKeys,
    version: u32,
}

impl ServerKey<'_> {
    fn committed(&self, salt: &[u8; SALT_LEN], binding: &Binding) -> Option<Committed> {
        let root = self.ring.versions.get(&self.version)?;
        let fields = [&self.version.to_be_bytes()[..], salt, binding.context()];
        Committed::derive(root, label::SERVER_KEY, &fields, binding.backend())
    }
}

impl Recipient for ServerKey<'_> {
    fn wrap(
        &self,
        file_key: &FileKey,
        binding: &Binding,
        rng: &mut dyn CryptoRng,
    ) -> Result<Stanza, SealError> {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let committed = self.committed(&salt, binding).ok_or(SealError::Failed)?;
        let (body, commit) = committed.seal(file_key)?;
        Stanza::new(&[KIND, &self.version.to_string(), &encode(&salt), &encode(&commit)], body.to_vec())
            .map_err(|_| SealError::Failed)
    }

    fn company(&self) -> Company {
        Company::Any
    }
}

impl Identity for ServerKeys {
    fn unwrap(&self, stanza: &Stanza, binding: &Binding) -> Result<Option<FileKey>, OpenError> {
        if stanza.kind() != KIND {
            return Ok(None);
        }
        let [version, salt, commit] = stanza.exactly()?;
        let (version, salt, commit) = (parse_version(version)?, decode(salt)?, decode(commit)?);
        let body = stanza.wrapped_key()?;
        if version < self.minimum {
            return Err(OpenError::Retired { version });
        }
        if !self.versions.contains_key(&version) {
            return Err(OpenError::UnknownVersion { version });
        }
        let key = ServerKey { ring: self, version };
        key.committed(&salt, binding).ok_or(OpenError::Rejected)?.open(&commit, body)
    }
}

/// C1: decimal, 1 to 2^32 - 1, no leading zero.
fn parse_version(text: &str) -> Result<u32, HeaderError> {
    let digits = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(HeaderError::Stanza)
}
