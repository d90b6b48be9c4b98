use alloc::vec::Vec;

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use symbolon_keys::{Backend, RootKey, Secret, TAG_LEN};

use super::cipher_state::CipherState;
use super::{Exporter, NoiseError};

/// The chaining key, the transcript hash and the current key of a handshake (Noise 5.2).
pub(super) struct SymmetricState {
    backend: Backend,
    ck: Secret<32>,
    h: [u8; 32],
    key: Option<Secret<32>>,
    n: u64,
}

impl SymmetricState {
    pub(super) fn new(backend: Backend, name: &str) -> Self {
        let mut h = [0; 32];
        match h.get_mut(..name.len()) {
            Some(start) => start.copy_from_slice(name.as_bytes()),
            None => h = Sha256::digest(name).into(),
        }
        Self { backend, ck: Secret::init_with(|ck| *ck = h), h, key: None, n: 0 }
    }

    /// A copy to try a message on. It is wiped like the original.
    pub(super) fn copy(&self) -> Self {
        let copy = |secret: &Secret<32>| Secret::init_with(|out| *out = *secret.expose());
        Self {
            backend: self.backend,
            ck: copy(&self.ck),
            h: self.h,
            key: self.key.as_ref().map(copy),
            n: self.n,
        }
    }

    pub(super) fn mix_hash(&mut self, data: &[u8]) {
        self.h = Sha256::new().chain_update(self.h).chain_update(data).finalize().into();
    }

    pub(super) fn mix_key(&mut self, ikm: &[u8; 32]) -> Result<(), NoiseError> {
        let (ck, key) = self.hkdf::<64>(ikm)?.split();
        self.set(ck, key);
        Ok(())
    }

    pub(super) fn mix_key_and_hash(&mut self, psk: &[u8; 32]) -> Result<(), NoiseError> {
        let (rest, key) = self.hkdf::<96>(psk)?.split::<64, 32>();
        let (ck, temp_h) = rest.split::<32, 32>();
        self.mix_hash(temp_h.expose());
        self.set(ck, key);
        Ok(())
    }

    /// Appends the ciphertext of `plaintext`, or `plaintext` itself before there is a key, to `out`.
    pub(super) fn encrypt_and_hash(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), NoiseError> {
        let start = out.len();
        out.extend_from_slice(plaintext);
        if let Some(mut cipher) = self.cipher() {
            let data = out.get_mut(start..).unwrap_or_default();
            let tag = cipher.encrypt_in_place(&self.h, data)?;
            out.extend_from_slice(&tag);
            self.n = cipher.nonce();
        }
        self.mix_hash(out.get(start..).unwrap_or_default());
        Ok(())
    }

    pub(super) fn decrypt_and_hash(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let plaintext = match self.cipher() {
            Some(mut cipher) => {
                let (data, tag) = message.split_last_chunk::<TAG_LEN>().ok_or(NoiseError::Rejected)?;
                let mut data = data.to_vec();
                cipher.decrypt_in_place(&self.h, &mut data, tag)?;
                self.n = cipher.nonce();
                data
            }
            None => message.to_vec(),
        };
        self.mix_hash(message);
        Ok(plaintext)
    }

    /// Bytes that [`Self::encrypt_and_hash`] adds now.
    pub(super) const fn overhead(&self) -> usize {
        if self.key.is_some() { TAG_LEN } else { 0 }
    }

    pub(super) const fn handshake_hash(&self) -> &[u8; 32] {
        &self.h
    }

    /// The keys of the initiator's and the responder's messages, and our exporter: the third output of the same HKDF
    /// (C5).
    pub(super) fn split(&self) -> Result<(CipherState, CipherState, Exporter), NoiseError> {
        let (keys, x) = self.hkdf::<96>(&[])?.split::<64, 32>();
        let (k1, k2) = keys.split::<32, 32>();
        let exporter = Exporter::new(RootKey::from(x), self.h);
        Ok((CipherState::new(self.backend, &k1), CipherState::new(self.backend, &k2), exporter))
    }

    fn cipher(&self) -> Option<CipherState> {
        self.key.as_ref().map(|key| CipherState::with_nonce(self.backend, key, self.n))
    }

    fn set(&mut self, ck: Secret<32>, key: Secret<32>) {
        self.ck = ck;
        self.key = Some(key);
        self.n = 0;
    }

    /// Noise 4.3: RFC 5869 with the chaining key as salt and no info.
    fn hkdf<const N: usize>(&self, ikm: &[u8]) -> Result<Secret<N>, NoiseError> {
        let hkdf = Hkdf::<Sha256>::new(Some(self.ck.expose()), ikm);
        Secret::try_init_with(|out| hkdf.expand(&[], out).map_err(|_| NoiseError::Rejected))
    }
}
