use symbolon_keys::hazmat::ChaChaPoly;
use symbolon_keys::{Backend, Secret, TAG_LEN};

use super::NoiseError;

/// One key and its counter of nonces (Noise 5.1). Encrypts and decrypts in place, without a heap.
#[derive(Debug)]
pub struct CipherState {
    key: ChaChaPoly,
    backend: Backend,
    n: u64,
}

/// Noise 5.1: the last nonce is reserved for rekeying.
const RESERVED: u64 = u64::MAX;

impl CipherState {
    pub(crate) fn new(backend: Backend, key: &Secret<32>) -> Self {
        Self::with_nonce(backend, key, 0)
    }

    pub(crate) fn with_nonce(backend: Backend, key: &Secret<32>, n: u64) -> Self {
        Self { key: ChaChaPoly::new(backend, key), backend, n }
    }

    /// Encrypts `data` in place under the next nonce and returns the tag.
    ///
    /// # Errors
    /// [`NoiseError::Exhausted`] when the nonces are spent, [`NoiseError::TooLong`] beyond 65,519 bytes.
    pub fn encrypt_in_place(&mut self, ad: &[u8], data: &mut [u8]) -> Result<[u8; TAG_LEN], NoiseError> {
        if data.len() > super::MAX_MESSAGE_LEN.saturating_sub(TAG_LEN) {
            return Err(NoiseError::TooLong);
        }
        let next = self.next()?;
        let tag = self.key.seal_in_place(nonce(self.n), ad, data)?;
        self.n = next;
        Ok(tag)
    }

    /// Decrypts `data` in place if `tag` is right for the next nonce; only then is the nonce spent.
    ///
    /// # Errors
    /// [`NoiseError::Rejected`] if it is not (then `data` is unspecified), [`NoiseError::Exhausted`].
    pub fn decrypt_in_place(
        &mut self,
        ad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), NoiseError> {
        let next = self.next()?;
        self.key.open_in_place(nonce(self.n), ad, data, tag)?;
        self.n = next;
        Ok(())
    }

    /// Replaces the key by one that cannot be turned back (Noise 11.3). The counter goes on.
    ///
    /// # Errors
    /// [`NoiseError::Rejected`] if the backend fails.
    pub fn rekey(&mut self) -> Result<(), NoiseError> {
        *self = self.rekeyed()?;
        Ok(())
    }

    /// The state that [`Self::rekey`] leads to.
    pub(crate) fn rekeyed(&self) -> Result<Self, NoiseError> {
        let key = Secret::<32>::try_init_with(|key| {
            self.key.seal_in_place(nonce(RESERVED), &[], key).map(|_tag| ())
        })?;
        Ok(Self::with_nonce(self.backend, &key, self.n))
    }

    /// How many messages this state has processed.
    #[must_use]
    pub const fn nonce(&self) -> u64 {
        self.n
    }

    /// Decrypts a message that names its nonce: for datagrams, whose receiver keeps a window (Noise 11.4).
    #[cfg(feature = "datagram")]
    pub(crate) fn decrypt_at(
        &self,
        n: u64,
        ad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), NoiseError> {
        if n == RESERVED {
            return Err(NoiseError::Rejected);
        }
        Ok(self.key.open_in_place(nonce(n), ad, data, tag)?)
    }

    fn next(&self) -> Result<u64, NoiseError> {
        self.n.checked_add(1).ok_or(NoiseError::Exhausted)
    }
}

/// Noise 12.3: 32 zero bits, then the counter, little-endian.
fn nonce(n: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    if let Some(counter) = nonce.last_chunk_mut() {
        *counter = n.to_le_bytes();
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_nonce_is_never_used() {
        let key = Secret::from([7; 32]);
        for &backend in Backend::ALL {
            let mut sender = CipherState::with_nonce(backend, &key, u64::MAX - 1);
            let mut receiver = CipherState::with_nonce(backend, &key, u64::MAX - 1);
            let mut data = *b"last";
            let tag = sender.encrypt_in_place(b"", &mut data).unwrap();
            receiver.decrypt_in_place(b"", &mut data, &tag).unwrap();
            assert_eq!(&data, b"last");
            assert_eq!(sender.encrypt_in_place(b"", &mut data), Err(NoiseError::Exhausted));
            assert_eq!(receiver.decrypt_in_place(b"", &mut data, &tag), Err(NoiseError::Exhausted));
            // Rekeying does not reset the counter (Noise 11.3).
            sender.rekey().unwrap();
            assert_eq!(sender.encrypt_in_place(b"", &mut data), Err(NoiseError::Exhausted));
        }
    }

    #[test]
    fn a_forgery_spends_no_nonce() {
        let key = Secret::from([7; 32]);
        let (mut sender, mut receiver) =
            (CipherState::new(Backend::best(), &key), CipherState::new(Backend::best(), &key));
        let mut data = *b"true";
        let tag = sender.encrypt_in_place(b"", &mut data).unwrap();
        let mut forged = data;
        forged[0] ^= 1;
        assert_eq!(receiver.decrypt_in_place(b"", &mut forged, &tag), Err(NoiseError::Rejected));
        assert_eq!(receiver.nonce(), 0);
        receiver.decrypt_in_place(b"", &mut data, &tag).unwrap();
        assert_eq!((&data, receiver.nonce()), (b"true", 1));
    }

    #[test]
    fn rekeying_is_the_same_on_both_sides_and_every_backend() {
        let key = Secret::from([9; 32]);
        let mut tags = Backend::ALL.iter().map(|&backend| {
            let mut state = CipherState::new(backend, &key);
            state.rekey().unwrap();
            state.encrypt_in_place(b"", &mut []).unwrap()
        });
        let first = tags.next().unwrap();
        assert!(tags.all(|tag| tag == first));
        let old = CipherState::new(Backend::best(), &key).encrypt_in_place(b"", &mut []).unwrap();
        assert_ne!(old, first);
    }

    #[test]
    fn a_message_has_at_most_65_535_bytes() {
        let mut state = CipherState::new(Backend::best(), &Secret::from([7; 32]));
        let mut data = vec![0; 65_520];
        assert_eq!(state.encrypt_in_place(b"", &mut data), Err(NoiseError::TooLong));
        assert!(state.encrypt_in_place(b"", &mut data[..65_519]).is_ok());
    }
}
