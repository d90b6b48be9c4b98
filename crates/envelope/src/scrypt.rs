//! The native recipient type `scrypt` of the age specification: a passphrase, alone in its envelope.

use alloc::string::{String, ToString};
use core::fmt;

use rand_core::CryptoRng;
use scrypt::Params;
use symbolon_keys::{Backend, OneTimeKey, Secret};
use zeroize::Zeroizing;

use crate::error::{HeaderError, OpenError, SealError};
use crate::file_key::FileKey;
use crate::joint::{Binding, Company, Identity, Recipient};
use crate::stanza::{Stanza, decode, encode};
use crate::wrap;

const KIND: &str = "scrypt";
const SALT_LABEL: &[u8] = b"age-encryption.org/v1/scrypt";
const SALT_LEN: usize = 16;

/// A passphrase as age uses it: its bytes as they are, stretched with scrypt.
///
/// # Security
/// Whoever has the envelope can guess, at the price of one stretching a guess. Keys that a user shares with the server
/// come from [`UserKey::derive`](crate::UserKey::derive) instead.
pub struct ScryptKey {
    passphrase: Zeroizing<String>,
    work: u8,
    max_work: u8,
}

impl ScryptKey {
    /// The work of sealing, as the logarithm of `N`: 256 MiB and about a second.
    pub const WORK: u8 = 18;
    /// The most work that opening accepts by default: 4 GiB. What asks for more is refused before it is computed.
    pub const MAX_WORK: u8 = 22;

    /// The key of a passphrase.
    #[must_use]
    pub fn new(passphrase: &str) -> Self {
        let passphrase = Zeroizing::new(passphrase.to_string());
        Self { passphrase, work: Self::WORK, max_work: Self::MAX_WORK }
    }

    /// With another work of sealing, 1 to 30.
    #[must_use]
    pub fn work(mut self, log_n: u8) -> Self {
        self.work = log_n.clamp(1, 30);
        self
    }

    /// With another limit on the work of opening.
    #[must_use]
    pub const fn max_work(mut self, log_n: u8) -> Self {
        self.max_work = log_n;
        self
    }

    /// None if there is not memory enough, or the work factor is beyond what scrypt defines.
    fn wrap_key(&self, salt: &[u8; SALT_LEN], log_n: u8, backend: Backend) -> Option<OneTimeKey> {
        let params = Params::new(log_n, 8, 1).ok()?;
        let salt = [SALT_LABEL, salt].concat();
        let key = Secret::<32>::try_init_with(|out| {
            scrypt::scrypt(self.passphrase.as_bytes(), &salt, &params, out).map_err(|_| ())
        });
        Some(OneTimeKey::new(backend, &key.ok()?))
    }
}

impl Recipient for ScryptKey {
    fn wrap(
        &self,
        file_key: &FileKey,
        binding: &Binding,
        rng: &mut dyn CryptoRng,
    ) -> Result<Stanza, SealError> {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let key = self.wrap_key(&salt, self.work, binding.backend()).ok_or(SealError::Failed)?;
        let body = wrap::seal(key, file_key)?;
        Stanza::new(&[KIND, &encode(&salt), &self.work.to_string()], body.to_vec())
            .map_err(|_| SealError::Failed)
    }

    fn company(&self) -> Company {
        Company::Alone
    }
}

impl Identity for ScryptKey {
    fn unwrap(&self, stanza: &Stanza, binding: &Binding) -> Result<Option<FileKey>, OpenError> {
        if stanza.kind() != KIND {
            return Ok(None);
        }
        let [salt, work] = stanza.exactly()?;
        let salt = decode(salt)?;
        let body = stanza.wrapped_key()?;
        let digits = !work.starts_with('0') && work.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err(HeaderError::Stanza.into());
        }
        // A number too long for its type is too much work as well.
        let work = work.parse().ok().filter(|work| *work <= self.max_work).ok_or(OpenError::TooCostly)?;
        let key = self.wrap_key(&salt, work, binding.backend()).ok_or(OpenError::TooCostly)?;
        Ok(wrap::open(key, body))
    }
}

impl fmt::Debug for ScryptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passphrase: _, work, max_work } = self;
        write!(f, "ScryptKey(work {work}, at most {max_work}, ..)")
    }
}
