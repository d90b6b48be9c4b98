//! X25519 (RFC 7748) on either backend, one type of key for each protocol.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

#[cfg(feature = "aws-lc")]
use aws_lc_rs::agreement;
use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::error::{InvalidKey, Rejected};
use crate::kdf::{RootKey, extract};
use crate::secret::Secret;
use crate::{Backend, Label};

#[cfg(test)]
mod tests;

mod sealed {
    #[expect(unnameable_types, reason = "sealed: no other crate adds a protocol")]
    pub trait Sealed {}
}

/// What a key pair is for. A key serves one protocol, and nothing converts it into another's.
///
/// ```compile_fail
/// # use symbolon_keys::*;
/// fn agree(mine: &NoiseSecretKey, theirs: &TablePublicKey) {
///     let _ = mine.diffie_hellman(theirs); // keys of two protocols never meet
/// }
/// ```
/// ```
/// # use symbolon_keys::*;
/// fn agree(mine: &TableSecretKey, theirs: &TablePublicKey) {
///     let _ = mine.diffie_hellman(theirs);
/// }
/// ```
pub trait Protocol: sealed::Sealed + 'static {
    /// The name, as it is printed.
    const NAME: &str;
}

macro_rules! protocols {
    ($($(#[$doc:meta])+ $marker:ident, $name:literal, $secret:ident, $public:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Debug)]
        #[non_exhaustive]
        pub struct $marker;
        impl sealed::Sealed for $marker {}
        impl Protocol for $marker {
            const NAME: &str = $name;
        }
        #[doc = concat!("A secret key for [`", stringify!($marker), "`].")]
        pub type $secret = DhSecretKey<$marker>;
        #[doc = concat!("A public key for [`", stringify!($marker), "`].")]
        pub type $public = DhPublicKey<$marker>;
    )+};
}

protocols! {
    /// Handshakes: static and ephemeral keys of Noise.
    Noise, "noise", NoiseSecretKey, NoisePublicKey;
    /// The shared-secret table and the proof of possession at its directory.
    Table, "table", TableSecretKey, TablePublicKey;
    /// Envelopes: identities of the age format.
    Age, "age", AgeSecretKey, AgePublicKey;
}

/// A secret key for X25519, prepared for its backend. Wiped when dropped, never copied, never printed.
pub struct DhSecretKey<P: Protocol> {
    secret: Secret<32>,
    public: DhPublicKey<P>,
    prepared: Prepared,
}

enum Prepared {
    Portable,
    #[cfg(feature = "aws-lc")]
    AwsLc(agreement::PrivateKey),
}

impl<P: Protocol> DhSecretKey<P> {
    /// A new random key.
    pub fn generate<R: CryptoRng + ?Sized>(backend: Backend, rng: &mut R) -> Self {
        Self::from_secret(backend, Secret::generate(rng))
    }

    /// The key whose scalar is `secret` (clamped as RFC 7748 says).
    #[must_use]
    pub fn from_secret(backend: Backend, secret: Secret<32>) -> Self {
        let (prepared, public) = Prepared::new(backend, &secret);
        Self { secret, public: DhPublicKey(public, PhantomData), prepared }
    }

    /// Its public key.
    #[must_use]
    pub const fn public_key(&self) -> &DhPublicKey<P> {
        &self.public
    }

    /// The secret that this key and `theirs` share.
    ///
    /// # Errors
    /// [`Rejected`] if the result is all zero, that is, if `theirs` has low order.
    pub fn diffie_hellman(&self, theirs: &DhPublicKey<P>) -> Result<SharedSecret, Rejected> {
        self.diffie_hellman_raw(theirs.as_bytes())
    }

    /// As [`Self::diffie_hellman`], with whatever 32 bytes a message carried: non-canonical ones compute as RFC 7748
    /// says. Noise and age define no check of the encoding.
    ///
    /// # Errors
    /// [`Rejected`] if the result is all zero.
    #[cfg(feature = "hazmat")]
    pub fn diffie_hellman_with(&self, theirs: &[u8; 32]) -> Result<SharedSecret, Rejected> {
        self.diffie_hellman_raw(theirs)
    }

    fn diffie_hellman_raw(&self, theirs: &[u8; 32]) -> Result<SharedSecret, Rejected> {
        self.prepared.agree(&self.secret, theirs)
    }

    /// The scalar, to keep it somewhere safe. Search for this name to see where keys leave their type.
    #[must_use]
    pub const fn expose(&self) -> &Secret<32> {
        &self.secret
    }
}

impl Prepared {
    fn new(backend: Backend, secret: &Secret<32>) -> (Self, [u8; 32]) {
        #[cfg(feature = "aws-lc")]
        if backend == Backend::AwsLc
            && let Ok(key) = agreement::PrivateKey::from_private_key(&agreement::X25519, secret.expose())
            && let Ok(public) = key.compute_public_key()
            && let Ok(public) = public.as_ref().try_into()
        {
            return (Self::AwsLc(key), public);
        }
        // Also where C is out of memory: the other backend gives the same bytes.
        let _ = backend;
        (Self::Portable, PublicKey::from(&StaticSecret::from(*secret.expose())).to_bytes())
    }

    fn agree(&self, secret: &Secret<32>, theirs: &[u8; 32]) -> Result<SharedSecret, Rejected> {
        match self {
            Self::Portable => {
                let shared = StaticSecret::from(*secret.expose()).diffie_hellman(&PublicKey::from(*theirs));
                if !shared.was_contributory() {
                    return Err(Rejected);
                }
                Ok(SharedSecret(Secret::init_with(|out| out.copy_from_slice(shared.as_bytes()))))
            }
            #[cfg(feature = "aws-lc")]
            Self::AwsLc(key) => {
                let theirs = agreement::UnparsedPublicKey::new(&agreement::X25519, theirs);
                agreement::agree(key, theirs, Rejected, |shared| {
                    Secret::try_init_with(|out| {
                        out.copy_from_slice(shared.get(..32).ok_or(Rejected)?);
                        Ok(())
                    })
                    .map(SharedSecret)
                })
            }
        }
    }
}

impl<P: Protocol> fmt::Debug for DhSecretKey<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret: _, public, prepared: _ } = self;
        write!(f, "DhSecretKey<{}>({}, ..)", P::NAME, public)
    }
}

/// A public key for X25519: canonical, and not of low order. Compared as bytes.
pub struct DhPublicKey<P: Protocol>([u8; 32], PhantomData<fn() -> P>);

/// The canonical encodings of points of low order, little-endian as in RFC 7748: 0, 1, p - 1 and two of order 8
/// (listed at https://cr.yp.to/ecdh.html#validate; a test computes that each gives an all-zero secret).
const LOW_ORDER: [[u8; 32]; 5] = {
    let mut one = [0; 32];
    one[0] = 1;
    [
        [0; 32],
        one,
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
            0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
            0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
        ],
        [
            0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
        ],
    ]
};

/// The field's modulus 2^255 - 19, little-endian. A canonical coordinate is below it.
const MODULUS: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

impl<P: Protocol> DhPublicKey<P> {
    /// Checks and takes the 32 bytes of a public key.
    ///
    /// # Errors
    /// [`InvalidKey::NonCanonical`] if the coordinate is not below 2^255 - 19; [`InvalidKey::LowOrder`].
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, InvalidKey> {
        if !bytes.iter().rev().lt(MODULUS.iter().rev()) {
            return Err(InvalidKey::NonCanonical);
        }
        if LOW_ORDER.contains(&bytes) {
            return Err(InvalidKey::LowOrder);
        }
        Ok(Self(bytes, PhantomData))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl<P: Protocol> Clone for DhPublicKey<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Protocol> Copy for DhPublicKey<P> {}

impl<P: Protocol> PartialEq for DhPublicKey<P> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<P: Protocol> Eq for DhPublicKey<P> {}

impl<P: Protocol> Hash for DhPublicKey<P> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<P: Protocol> fmt::Display for DhPublicKey<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<P: Protocol> fmt::Debug for DhPublicKey<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DhPublicKey<{}>({self})", P::NAME)
    }
}

/// The outcome of a key agreement: not a key yet. [`SharedSecret::extract`] makes it one.
///
/// ```compile_fail
/// # use symbolon_keys::{Label, SharedSecret};
/// # const A: Label = Label::new("example.org/a");
/// # const B: Label = Label::new("example.org/b");
/// fn keys(shared: SharedSecret) {
///     shared.extract(A);
///     shared.extract(B); // extracted once already
/// }
/// ```
/// ```
/// # use symbolon_keys::{Label, SharedSecret};
/// # const A: Label = Label::new("example.org/a");
/// fn keys(shared: SharedSecret) {
///     let _ = shared.extract(A);
/// }
/// ```
#[derive(Debug)]
pub struct SharedSecret(Secret<32>);

impl SharedSecret {
    #[cfg(feature = "hazmat")]
    pub(crate) const fn new(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// The key for derivation under `label` (`docs/derivation.md`); consumes the secret.
    #[must_use]
    pub fn extract(self, label: Label) -> RootKey {
        extract(label, self.0.expose())
    }

    /// The raw secret, for a protocol with a derivation of its own (Noise, age).
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub const fn raw(&self) -> &Secret<32> {
        &self.0
    }
}

/// The function X25519 itself, for test vectors and for the stanzas of age.
///
/// # Errors
/// [`Rejected`] if the result is all zero.
#[cfg(feature = "hazmat")]
pub fn x25519(backend: Backend, secret: &Secret<32>, public: &[u8; 32]) -> Result<SharedSecret, Rejected> {
    Prepared::new(backend, secret).0.agree(secret, public)
}
