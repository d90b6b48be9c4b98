//! The native recipient type `mlkem768x25519` of the age specification: HPKE (RFC 9180) in base mode with the KEM
//! MLKEM768-X25519 (X-Wing), HKDF-SHA256 and ChaCha20-Poly1305.

use alloc::boxed::Box;
use core::fmt;

use hkdf::hmac::digest::{ExtendableOutput, Update, XofReader};
use rand_core::CryptoRng;
use sha3::{Digest, Sha3_256};
use shake::Shake256;
use symbolon_keys::hazmat::{
    ChaChaPoly, KEM_CIPHERTEXT_LEN, KEM_PUBLIC_LEN, KEM_SEED_LEN, KemSecretKey, encapsulate, x25519,
};
use symbolon_keys::{AgeSecretKey, Backend, InvalidKey, Rejected, Secret, SharedSecret, TAG_LEN};

use crate::error::{HeaderError, OpenError, SealError};
use crate::file_key::{FileKey, labeled_expand, labeled_extract};
use crate::joint::{Binding, Company, Identity, Recipient};
use crate::stanza::{Stanza, decode, encode};

const KIND: &str = "mlkem768x25519";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// `"HPKE" || KEM || KDF || AEAD` (RFC 9180, 5.1): MLKEM768-X25519, HKDF-SHA256, ChaCha20-Poly1305.
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";
/// X-Wing, "Combiner": a picture of a wing.
const COMBINER_LABEL: &[u8] = b"\\.//^\\";

/// Bytes of a public key: ML-KEM-768, then X25519.
pub const HYBRID_PUBLIC_LEN: usize = KEM_PUBLIC_LEN + 32;
/// Bytes of what is sent: the ciphertext of ML-KEM-768, then an ephemeral X25519 public key.
const ENC_LEN: usize = KEM_CIPHERTEXT_LEN + 32;

/// A public key of the post-quantum hybrid: an age recipient `age1pq1...`.
#[derive(Clone, PartialEq, Eq)]
pub struct HybridPublicKey(Box<[u8; HYBRID_PUBLIC_LEN]>);

impl HybridPublicKey {
    /// Checks and takes the bytes of a public key.
    ///
    /// # Errors
    /// [`InvalidKey`] if the first part is not a key of ML-KEM-768 (the modulus check of FIPS 203, 7.2), or the second
    /// one is of low order.
    pub fn from_bytes(bytes: &[u8; HYBRID_PUBLIC_LEN]) -> Result<Self, InvalidKey> {
        let key = Self(Box::new(*bytes));
        let (kem, dh) = key.parts();
        symbolon_keys::hazmat::encapsulate_fixed(kem, [0; 32]).map_err(|_| InvalidKey::Malformed)?;
        let mut scalar = [0; 32];
        scalar[0] = 8;
        x25519(Backend::Portable, &Secret::from(scalar), dh).map_err(|_| InvalidKey::LowOrder)?;
        Ok(key)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HYBRID_PUBLIC_LEN] {
        &self.0
    }

    fn parts(&self) -> (&[u8; KEM_PUBLIC_LEN], &[u8; 32]) {
        split(&self.0)
    }
}

impl fmt::Debug for HybridPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = *self.0;
        write!(f, "HybridPublicKey({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// A secret key of the post-quantum hybrid: an age identity `AGE-SECRET-KEY-PQ-1...`.
pub struct HybridSecretKey {
    seed: Secret<32>,
    kem: KemSecretKey,
    dh: AgeSecretKey,
    public: HybridPublicKey,
}

impl HybridSecretKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`Rejected`] if the backend fails.
    pub fn generate<R: CryptoRng + ?Sized>(backend: Backend, rng: &mut R) -> Result<Self, Rejected> {
        Self::from_seed(backend, Secret::generate(rng))
    }

    /// The key pair of a seed (X-Wing, `expandDecapsulationKey`).
    ///
    /// # Errors
    /// [`Rejected`] if the backend fails.
    pub fn from_seed(backend: Backend, seed: Secret<32>) -> Result<Self, Rejected> {
        let expanded = Secret::<{ KEM_SEED_LEN + 32 }>::init_with(|out| {
            Shake256::default().chain(seed.expose()).finalize_xof().read(out);
        });
        let (kem_seed, scalar) = expanded.split::<KEM_SEED_LEN, 32>();
        let kem = KemSecretKey::from_seed(backend, &kem_seed);
        let dh = AgeSecretKey::from_secret(backend, scalar);
        let mut public = Box::new([0; HYBRID_PUBLIC_LEN]);
        let (first, second) = public.split_at_mut(KEM_PUBLIC_LEN);
        first.copy_from_slice(&kem.public_key()?);
        second.copy_from_slice(dh.public_key().as_bytes());
        Ok(Self { seed, kem, dh, public: HybridPublicKey(public) })
    }

    /// Its public key.
    #[must_use]
    pub const fn public_key(&self) -> &HybridPublicKey {
        &self.public
    }

    /// The seed, to keep it somewhere safe.
    #[must_use]
    pub const fn expose(&self) -> &Secret<32> {
        &self.seed
    }
}

impl fmt::Debug for HybridSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed: _, kem: _, dh: _, public } = self;
        write!(f, "HybridSecretKey({public:?}, ..)")
    }
}

impl Recipient for HybridPublicKey {
    fn wrap(
        &self,
        file_key: &FileKey,
        binding: &Binding,
        rng: &mut dyn CryptoRng,
    ) -> Result<Stanza, SealError> {
        let (kem_key, dh_key) = self.parts();
        let (ciphertext, kem_secret) =
            encapsulate(binding.backend(), kem_key, rng).map_err(|_| SealError::Recipient)?;
        let ephemeral = AgeSecretKey::generate(binding.backend(), rng);
        let share = ephemeral.public_key().as_bytes();
        let dh_secret = ephemeral.diffie_hellman_with(dh_key).map_err(|_| SealError::Recipient)?;
        let shared = combine(&kem_secret, &dh_secret, share, dh_key);

        let mut body = [0; 32];
        let (sealed, tag) = body.split_at_mut(32 - TAG_LEN);
        sealed.copy_from_slice(file_key.expose());
        let (key, nonce) = key_schedule(&shared, binding.backend());
        tag.copy_from_slice(&key.seal_in_place(nonce, b"", sealed).map_err(|_| SealError::Failed)?);
        let enc = [ciphertext.as_slice(), share].concat();
        Stanza::new(&[KIND, &encode(&enc)], body.to_vec()).map_err(|_| SealError::Failed)
    }

    fn company(&self) -> Company {
        Company::PostQuantum
    }
}

impl Identity for HybridSecretKey {
    fn unwrap(&self, stanza: &Stanza, binding: &Binding) -> Result<Option<FileKey>, OpenError> {
        if stanza.kind() != KIND {
            return Ok(None);
        }
        let [enc] = stanza.exactly()?;
        let enc = decode::<ENC_LEN>(enc)?;
        let (sealed, tag) = stanza.wrapped_key()?.split_last_chunk::<TAG_LEN>().ok_or(HeaderError::Stanza)?;
        let (ciphertext, share) = split(&enc);
        let dh_secret = self.dh.diffie_hellman_with(share).map_err(|_| HeaderError::Stanza)?;
        let kem_secret = self.kem.decapsulate(ciphertext).map_err(|_| HeaderError::Stanza)?;
        let shared = combine(&kem_secret, &dh_secret, share, self.dh.public_key().as_bytes());
        let (key, nonce) = key_schedule(&shared, binding.backend());
        let file_key = Secret::<16>::try_init_with(|out| {
            out.copy_from_slice(sealed);
            key.open_in_place(nonce, b"", out, tag)
        });
        Ok(file_key.ok().map(FileKey::from))
    }
}

/// The parts of a public key or an encapsulation.
fn split<const A: usize, const N: usize>(whole: &[u8; N]) -> (&[u8; A], &[u8; 32]) {
    const { assert!(A + 32 == N, "two parts, the second an X25519 public key") };
    match (whole.first_chunk(), whole.last_chunk()) {
        (Some(first), Some(second)) => (first, second),
        // The lengths were compared while compiling.
        _ => (&[0; A], &[0; 32]),
    }
}

/// X-Wing, "Combiner".
fn combine(kem: &SharedSecret, dh: &SharedSecret, share: &[u8; 32], dh_key: &[u8; 32]) -> Secret<32> {
    let parts = [kem.raw().expose(), dh.raw().expose(), share, dh_key];
    let hash = parts.iter().fold(Sha3_256::new(), |hash, part| hash.chain_update(part));
    Secret::init_with(|out| Digest::finalize_into(hash.chain_update(COMBINER_LABEL), out.into()))
}

/// RFC 9180, 5.1, in base mode, without a pre-shared key: key and base nonce for the one message.
fn key_schedule(shared: &Secret<32>, backend: Backend) -> (ChaChaPoly, [u8; 12]) {
    let psk_id_hash = labeled_extract(SUITE, &[], b"psk_id_hash", &[]);
    let info_hash = labeled_extract(SUITE, &[], b"info_hash", INFO);
    let context = [&[0], psk_id_hash.expose().as_slice(), info_hash.expose()].concat();
    let secret = labeled_extract(SUITE, shared.expose(), b"secret", &[]);
    let key = labeled_expand::<32>(SUITE, &secret, b"key", &context);
    let nonce = labeled_expand::<12>(SUITE, &secret, b"base_nonce", &context);
    (ChaChaPoly::new(backend, &key), *nonce.expose())
}
