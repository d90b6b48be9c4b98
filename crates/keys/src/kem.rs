//! ML-KEM-768 (FIPS 203) on either backend, for the hybrid handshakes and recipients.

use alloc::boxed::Box;
use core::fmt;

#[cfg(feature = "aws-lc")]
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use ml_kem::kem::{Decapsulate, Encapsulate, KeyExport, TryKeyInit};
use ml_kem::{DecapsulationKey768, EncapsulationKey768};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::Backend;
use crate::dh::SharedSecret;
use crate::error::Rejected;
use crate::secret::Secret;

/// Bytes of an encapsulation key.
pub const KEM_PUBLIC_LEN: usize = 1184;
/// Bytes of a ciphertext.
pub const KEM_CIPHERTEXT_LEN: usize = 1088;
/// Bytes of the seed `d || z` that a key pair is made from.
pub const KEM_SEED_LEN: usize = 64;

/// A decapsulation key, prepared for its backend.
pub struct KemSecretKey(Imp);

enum Imp {
    Portable(Box<DecapsulationKey768>),
    /// With its public half, which aws-lc does not give for a key made from a seed.
    #[cfg(feature = "aws-lc")]
    AwsLc(Box<(DecapsulationKey, [u8; KEM_PUBLIC_LEN])>),
}

impl KemSecretKey {
    /// A new key pair, for one handshake: it has no seed to be kept. aws-lc draws from its own generator, which the
    /// operating system seeds; `rng` serves the portable backend.
    pub fn generate<R: CryptoRng + ?Sized>(backend: Backend, rng: &mut R) -> Self {
        #[cfg(feature = "aws-lc")]
        if backend == Backend::AwsLc
            && let Ok(key) = DecapsulationKey::generate(&ML_KEM_768)
            && let Ok(public) = key.encapsulation_key().and_then(|public| public.key_bytes())
            && let Ok(public) = public.as_ref().try_into()
        {
            return Self(Imp::AwsLc(Box::new((key, public))));
        }
        Self::from_seed(backend, &Secret::generate(rng))
    }

    /// The key pair of a seed `d || z` (FIPS 203, algorithm 16). aws-lc takes no seed, so the portable backend
    /// computes the key, and aws-lc uses it.
    #[must_use]
    pub fn from_seed(backend: Backend, seed: &Secret<KEM_SEED_LEN>) -> Self {
        let key = DecapsulationKey768::from_seed((*seed.expose()).into());
        #[cfg(feature = "aws-lc")]
        if backend == Backend::AwsLc
            && let Ok(imported) = import(&key)
        {
            return Self(Imp::AwsLc(Box::new((imported, key.encapsulation_key().to_bytes().into()))));
        }
        // Also where C is out of memory: the other backend gives the same bytes.
        let _ = backend;
        Self(Imp::Portable(Box::new(key)))
    }

    /// The encapsulation key to send to the peer.
    ///
    /// # Errors
    /// [`Rejected`] if the backend fails; neither of today's can.
    pub fn public_key(&self) -> Result<[u8; KEM_PUBLIC_LEN], Rejected> {
        match &self.0 {
            Imp::Portable(key) => Ok(key.encapsulation_key().to_bytes().into()),
            #[cfg(feature = "aws-lc")]
            Imp::AwsLc(pair) => Ok(pair.1),
        }
    }

    /// The secret inside `ciphertext`. A forged ciphertext gives a secret that nobody else has (implicit rejection).
    ///
    /// # Errors
    /// [`Rejected`] if the backend fails.
    pub fn decapsulate(&self, ciphertext: &[u8; KEM_CIPHERTEXT_LEN]) -> Result<SharedSecret, Rejected> {
        match &self.0 {
            Imp::Portable(key) => {
                let mut shared = key.decapsulate_slice(ciphertext).map_err(|_| Rejected)?;
                Ok(wiping(&mut shared))
            }
            #[cfg(feature = "aws-lc")]
            Imp::AwsLc(pair) => {
                let shared = pair.0.decapsulate(Ciphertext::from(&ciphertext[..])).map_err(|_| Rejected)?;
                to_secret(shared.as_ref())
            }
        }
    }
}

impl fmt::Debug for KemSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Imp::Portable(_) => "KemSecretKey(portable, ..)",
            #[cfg(feature = "aws-lc")]
            Imp::AwsLc(_) => "KemSecretKey(aws-lc, ..)",
        })
    }
}

/// A fresh secret, and the ciphertext that carries it to the holder of `public`. As in [`KemSecretKey::generate`], aws-lc
/// draws from its own generator.
///
/// # Errors
/// [`Rejected`] if `public` is not an encapsulation key (the modulus check of FIPS 203, 7.2).
pub fn encapsulate<R: CryptoRng + ?Sized>(
    backend: Backend,
    public: &[u8; KEM_PUBLIC_LEN],
    rng: &mut R,
) -> Result<([u8; KEM_CIPHERTEXT_LEN], SharedSecret), Rejected> {
    match backend {
        #[cfg(feature = "aws-lc")]
        Backend::AwsLc => {
            let key = EncapsulationKey::new(&ML_KEM_768, public).map_err(|_| Rejected)?;
            let (ciphertext, shared) = key.encapsulate().map_err(|_| Rejected)?;
            Ok((ciphertext.as_ref().try_into().map_err(|_| Rejected)?, to_secret(shared.as_ref())?))
        }
        Backend::Portable => {
            let key = EncapsulationKey768::new_from_slice(public).map_err(|_| Rejected)?;
            let (ciphertext, mut shared) = key.encapsulate_with_rng(rng);
            Ok((ciphertext.into(), wiping(&mut shared)))
        }
    }
}

/// As [`encapsulate`], with the randomness `m` given: for test vectors only.
///
/// # Errors
/// [`Rejected`] if `public` is not an encapsulation key.
pub fn encapsulate_fixed(
    public: &[u8; KEM_PUBLIC_LEN],
    m: [u8; 32],
) -> Result<([u8; KEM_CIPHERTEXT_LEN], SharedSecret), Rejected> {
    let key = EncapsulationKey768::new_from_slice(public).map_err(|_| Rejected)?;
    let (ciphertext, mut shared) = key.encapsulate_deterministic(&m.into());
    Ok((ciphertext.into(), wiping(&mut shared)))
}

fn wiping(shared: &mut ml_kem::SharedKey) -> SharedSecret {
    let secret = Secret::init_with(|out| out.copy_from_slice(shared));
    shared.zeroize();
    SharedSecret::new(secret)
}

/// Through the expanded form, which is deprecated as something to store: here it lives for one call.
#[cfg(feature = "aws-lc")]
#[expect(deprecated, reason = "the one form that aws-lc takes")]
fn import(key: &DecapsulationKey768) -> Result<DecapsulationKey, Rejected> {
    let mut expanded = ml_kem::ExpandedKeyEncoding::to_expanded_bytes(key);
    let imported = DecapsulationKey::new(&ML_KEM_768, &expanded).map_err(|_| Rejected);
    expanded.zeroize();
    imported
}

#[cfg(feature = "aws-lc")]
fn to_secret(shared: &[u8]) -> Result<SharedSecret, Rejected> {
    let bytes: &[u8; 32] = shared.try_into().map_err(|_| Rejected)?;
    Ok(SharedSecret::new(Secret::init_with(|out| *out = *bytes)))
}
