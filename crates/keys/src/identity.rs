//! Identities (`docs/identity.md`).

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::dh::{AgeSecretKey, DhSecretKey, NoiseSecretKey, Protocol, TableSecretKey};
use crate::kdf::{RootKey, extract};
use crate::secret::Secret;
use crate::sign::SigningKey;
use crate::{Backend, label};

#[cfg(feature = "std")]
mod file;
mod fingerprint;
mod public;
mod text;

#[cfg(feature = "std")]
pub use file::{IdentityFile, IdentityFileError};
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use public::PublicIdentity;
pub use text::InvalidIdentity;

/// Who somebody is: one secret seed, from which come four keys, one for each protocol.
///
/// ```
/// # #[cfg(feature = "getrandom")] {
/// use symbolon_keys::{Backend, Identity, OsRng, PublicIdentity};
///
/// let alice = Identity::generate(Backend::best(), &mut OsRng);
/// let shown = alice.public().to_string(); // symbolon-pub1..
/// let known: PublicIdentity = shown.parse().unwrap();
/// assert_eq!(&known, alice.public());
/// println!("compare over the phone: {}", known.fingerprint());
/// # }
/// ```
///
/// ```compile_fail
/// # use symbolon_keys::Identity;
/// fn copy(id: &Identity) -> Identity {
///     id.clone() // an identity has one owner
/// }
/// ```
/// ```
/// # use symbolon_keys::{Identity, PublicIdentity};
/// fn copy(id: &Identity) -> PublicIdentity {
///     id.public().clone()
/// }
/// ```
///
/// # Security
/// The seed stands for all four keys. A key handed out by [`Self::noise_key`] and its like cannot be turned into
/// another: give each component the one it needs, and keep the identity where nobody computes with it.
pub struct Identity {
    seed: Secret<32>,
    public: PublicIdentity,
    backend: Backend,
}

impl Identity {
    /// A new random identity, whose keys compute on `backend`.
    pub fn generate<R: CryptoRng + ?Sized>(backend: Backend, rng: &mut R) -> Self {
        Self::from_seed(backend, Secret::generate(rng))
    }

    /// The identity of a seed: 32 bytes of full entropy, never a passphrase.
    #[must_use]
    pub fn from_seed(backend: Backend, seed: Secret<32>) -> Self {
        let keys = Keys::of(&seed);
        let public = PublicIdentity::new(
            *keys.agreement(backend, b"noise").public_key(),
            *keys.agreement(backend, b"table").public_key(),
            *keys.agreement(backend, b"age").public_key(),
            keys.signing().verifying_key(),
        );
        Self { seed, public, backend }
    }

    /// The identity that a secret text form carries, on `backend`. [`FromStr`] takes the fastest.
    ///
    /// # Errors
    /// [`InvalidIdentity`] says what is wrong with the text.
    pub fn from_text(backend: Backend, text: &str) -> Result<Self, InvalidIdentity> {
        Ok(Self::from_seed(backend, text::secret_from_text(text)?))
    }

    /// The secret text form, `symbolon-sec1..`: whoever reads it is this identity. Wiped when dropped.
    #[must_use]
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        text::secret_to_text(&self.seed)
    }

    /// What others know of this identity.
    #[must_use]
    pub const fn public(&self) -> &PublicIdentity {
        &self.public
    }

    /// The static key for handshakes, computed anew: whoever needs it keeps it.
    #[must_use]
    pub fn noise_key(&self) -> NoiseSecretKey {
        Keys::of(&self.seed).agreement(self.backend, b"noise")
    }

    /// The static key for the shared-secret table, computed anew.
    #[must_use]
    pub fn table_key(&self) -> TableSecretKey {
        Keys::of(&self.seed).agreement(self.backend, b"table")
    }

    /// The key for envelopes, computed anew.
    #[must_use]
    pub fn age_key(&self) -> AgeSecretKey {
        Keys::of(&self.seed).agreement(self.backend, b"age")
    }

    /// The key for signatures, computed anew.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        Keys::of(&self.seed).signing()
    }

    /// The seed, to keep it somewhere safe. Search for this name to see where secrets leave their type.
    #[must_use]
    pub const fn expose(&self) -> &Secret<32> {
        &self.seed
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        Self::from_text(Backend::best(), text)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed: _, public, backend: _ } = self;
        write!(f, "Identity({}, ..)", public.fingerprint())
    }
}

/// The root of the four keys.
struct Keys(RootKey);

impl Keys {
    fn of(seed: &Secret<32>) -> Self {
        Self(extract(label::IDENTITY, seed.expose()))
    }

    fn agreement<P: Protocol, const N: usize>(&self, backend: Backend, name: &[u8; N]) -> DhSecretKey<P> {
        DhSecretKey::from_secret(backend, self.0.derive_one(label::IDENTITY, name))
    }

    fn signing(&self) -> SigningKey {
        SigningKey::from_seed(&self.0.derive_one(label::IDENTITY, b"ed25519"))
    }
}
