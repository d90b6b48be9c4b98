//! C8: a user's shared key from a passphrase (`docs/user-key.md`).

use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use symbolon_keys::passphrase::{Argon2Params, InvalidParams, OutOfMemory, Passphrase, stretch};
use symbolon_keys::{Id, Secret, extract, label};
use zeroize::Zeroizing;

use crate::shared_key::UserKey;
use crate::user_keys::UserParameters;

impl UserKey {
    /// The key of `user` in `realm` (E8): the same on every machine where the same passphrase is typed, and the same
    /// account secret is there, if one is used.
    ///
    /// Slow on purpose: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`DeriveError`]; parameters below the floor or above the caps are refused before anything is computed.
    ///
    /// # Security
    /// Without an account secret, whoever sees an envelope under this key can guess passphrases offline, at the price
    /// of one Argon2id each: let such envelopes travel only inside a session whose server is pinned.
    pub fn derive(
        realm: Id,
        user: Id,
        passphrase: &Passphrase,
        account: Option<&AccountSecret>,
        parameters: &UserParameters,
    ) -> Result<Self, DeriveError> {
        let UserParameters { derivation, epoch } = parameters;
        let (m, t, p) = (derivation.memory_kib, derivation.passes, derivation.lanes);
        let costs = Argon2Params::new(m, t, p)?;
        let stretched = stretch(passphrase, &derivation.salt, costs)?;
        let mut ikm = Zeroizing::new(Vec::with_capacity(64));
        ikm.extend_from_slice(stretched.expose());
        ikm.extend(account.iter().flat_map(|account| account.0.expose()));
        let root = extract(label::USER_KEY, &ikm);
        let [m, t, p] = [m, t, p].map(u32::to_be_bytes);
        let has_secret = [u8::from(account.is_some())];
        let fields: [&[u8]; 8] =
            [realm.as_bytes(), user.as_bytes(), &derivation.salt, &m, &t, &p, &has_secret, &epoch.to_bytes()];
        // Eight short fields: they always fit.
        let key: Secret<32> = root.derive(label::USER_KEY, &fields).map_err(|_| OutOfMemory)?;
        Ok(Self::from(key))
    }
}

/// Random bytes that a user keeps beside the passphrase, on the devices in use and on paper: with them nobody can guess
/// passphrases offline, whatever is stolen.
pub struct AccountSecret(Secret<32>);

impl AccountSecret {
    /// A new one.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(Secret::generate(rng))
    }

    /// The bytes, to keep them somewhere safe.
    #[must_use]
    pub const fn expose(&self) -> &Secret<32> {
        &self.0
    }
}

impl From<Secret<32>> for AccountSecret {
    fn from(secret: Secret<32>) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for AccountSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("AccountSecret(..)")
    }
}

/// Why no key is derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeriveError {
    /// The costs are below the floor or above the caps: do not trust whoever named them.
    Params(InvalidParams),
    /// There is not memory enough.
    OutOfMemory,
}

impl fmt::Display for DeriveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Params(error) => error.fmt(f),
            Self::OutOfMemory => OutOfMemory.fmt(f),
        }
    }
}

impl core::error::Error for DeriveError {}

impl From<InvalidParams> for DeriveError {
    fn from(error: InvalidParams) -> Self {
        Self::Params(error)
    }
}

impl From<OutOfMemory> for DeriveError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}
