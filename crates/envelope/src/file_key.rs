//! The key of one file, and the keys that age makes from it.

use core::fmt;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use symbolon_keys::hazmat::ChaChaPoly;
use symbolon_keys::{Backend, Label, MacKey, RootKey, Secret, extract};
use zeroize::Zeroize;

use crate::error::OpenError;
use crate::header::Header;

/// The key of one file: whatever a stanza wraps. Never used for two files.
pub struct FileKey(Secret<16>);

impl FileKey {
    /// A new random key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(Secret::generate(rng))
    }

    /// The bytes, for implementing a [`Recipient`](crate::Recipient).
    #[must_use]
    pub const fn expose(&self) -> &[u8; 16] {
        self.0.expose()
    }

    /// The MAC of a header, over everything up to and with its mark.
    pub(crate) fn header_mac(&self, authenticated: &[u8]) -> [u8; 32] {
        self.mac_key().tag(&[authenticated])
    }

    /// Checks the MAC of a header.
    pub(crate) fn verify(&self, header: &Header) -> Result<(), OpenError> {
        let (authenticated, mac) = header.authenticated();
        self.mac_key().verify(&[authenticated], mac).map_err(|_| OpenError::HeaderMac)
    }

    /// The key of a payload that begins with `nonce`.
    pub(crate) fn payload_key(&self, nonce: &[u8; 16], backend: Backend) -> ChaChaPoly {
        ChaChaPoly::new(backend, &hkdf(&[self.0.expose()], nonce, b"payload"))
    }

    /// From the file key to keys of ours (C2).
    pub(crate) fn extract(&self, label: Label) -> RootKey {
        extract(label, self.0.expose())
    }

    fn mac_key(&self) -> MacKey {
        MacKey::from(hkdf(&[self.0.expose()], b"", b"header"))
    }
}

/// `HKDF-SHA-256(ikm, salt, info)` of the age specification: 32 bytes.
pub(crate) fn hkdf(ikm: &[&[u8]], salt: &[u8], info: &[u8]) -> Secret<32> {
    let mut extract = hkdf::HkdfExtract::<Sha256>::new(Some(salt));
    for part in ikm {
        extract.input_ikm(part);
    }
    let (_, hkdf): (_, Hkdf<Sha256>) = extract.finalize();
    // 32 bytes are always to be had: the error cannot come, and zeros would open nothing.
    Secret::init_with(|out| hkdf.expand(info, out).unwrap_or_default())
}

impl From<Secret<16>> for FileKey {
    fn from(secret: Secret<16>) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("FileKey(..)")
    }
}

/// `LabeledExtract` of RFC 9180, 4.
pub(crate) fn labeled_extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> Secret<32> {
    let mut extract = hkdf::HkdfExtract::<Sha256>::new(Some(salt));
    for part in [b"HPKE-v1", suite, label, ikm] {
        extract.input_ikm(part);
    }
    let (mut prk, _) = extract.finalize();
    let secret = Secret::init_with(|out| out.copy_from_slice(&prk));
    prk.zeroize();
    secret
}

/// `LabeledExpand` of RFC 9180, 4.
pub(crate) fn labeled_expand<const N: usize>(
    suite: &[u8],
    prk: &Secret<32>,
    label: &[u8],
    info: &[u8],
) -> Secret<N> {
    let [.., high, low] = (N as u64).to_be_bytes();
    let parts = [&[high, low], b"HPKE-v1".as_slice(), suite, label, info];
    // The key has the right length, and so few bytes are always to be had: the error cannot come.
    Secret::init_with(|out| {
        let hkdf = Hkdf::<Sha256>::from_prk(prk.expose());
        hkdf.ok().and_then(|hkdf| hkdf.expand_multi_info(&parts, out).ok()).unwrap_or_default();
    })
}
