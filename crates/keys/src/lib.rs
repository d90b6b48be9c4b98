#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg_attr(
    not(feature = "hazmat"),
    allow(unreachable_pub, reason = "then only `OneTimeKey` uses the primitive")
)]
mod aead;
mod backend;
#[cfg(all(feature = "getrandom", feature = "std"))]
mod buffered_rng;
mod dh;
mod error;
mod id;
mod identity;
mod kdf;
#[cfg(feature = "hazmat")]
mod kem;
pub mod label;
mod mac;
#[cfg(feature = "passphrase")]
pub mod passphrase;
mod random_id;
#[cfg(feature = "getrandom")]
mod rng;
mod secret;
mod sign;
mod time;
pub mod wire;

// The public interface is:
pub use aead::{OneTimeKey, TAG_LEN};
pub use backend::Backend;
#[cfg(all(feature = "getrandom", feature = "std"))]
pub use buffered_rng::BufferedRng;
pub use dh::{
    Age, AgePublicKey, AgeSecretKey, DhPublicKey, DhSecretKey, Noise, NoisePublicKey, NoiseSecretKey,
    Protocol, SharedSecret, Table, TablePublicKey, TableSecretKey,
};
pub use error::{InvalidKey, Rejected};
pub use id::{Id, InvalidId};
pub use identity::{Fingerprint, Identity, InvalidFingerprint, InvalidIdentity, PublicIdentity};
#[cfg(feature = "std")]
pub use identity::{IdentityFile, IdentityFileError};
pub use kdf::{MAX_FIELDS, RootKey, extract};
pub use label::Label;
pub use mac::MacKey;
#[cfg(feature = "getrandom")]
pub use rng::OsRng;
pub use secret::{Psk, Secret};
pub use sign::{Signature, SigningKey, VerifyingKey};
pub use time::{Epoch, UnixTime};

/// Primitives that are safe only inside a protocol: caller-chosen nonces, raw shared secrets, fixed randomness.
///
/// # Security
/// A nonce used twice under one key reveals the plaintexts and lets anybody forge. These items exist for the crates
/// that implement Noise, age and the key sequence; an application has no use for them.
#[cfg(feature = "hazmat")]
pub mod hazmat {
    pub use crate::aead::ChaChaPoly;
    pub use crate::dh::x25519;
    pub use crate::kem::{
        KEM_CIPHERTEXT_LEN, KEM_PUBLIC_LEN, KEM_SEED_LEN, KemSecretKey, encapsulate, encapsulate_fixed,
    };
}

/// For the expansion of [`random_id!`](crate::random_id) only.
#[doc(hidden)]
pub mod __private {
    pub use rand_core::CryptoRng;

    pub use crate::random_id::from_hex;
}
