//! The native recipient type `X25519` of the age specification.

use rand_core::CryptoRng;
use symbolon_keys::{AgePublicKey, AgeSecretKey, Backend, OneTimeKey, SharedSecret};

use crate::error::{HeaderError, OpenError, SealError};
use crate::file_key::{FileKey, hkdf};
use crate::joint::{Binding, Identity, Recipient};
use crate::stanza::{Stanza, decode, encode};
use crate::wrap;

const KIND: &str = "X25519";
const INFO: &[u8] = b"age-encryption.org/v1/X25519";

impl Recipient for AgePublicKey {
    fn wrap(
        &self,
        file_key: &FileKey,
        binding: &Binding,
        rng: &mut dyn CryptoRng,
    ) -> Result<Stanza, SealError> {
        let ephemeral = AgeSecretKey::generate(binding.backend(), rng);
        let shared = ephemeral.diffie_hellman(self).map_err(|_| SealError::Recipient)?;
        let share = ephemeral.public_key().as_bytes();
        let key = wrap_key(&shared, share, self.as_bytes(), binding.backend());
        let body = wrap::seal(key, file_key)?;
        Stanza::new(&[KIND, &encode(share)], body.to_vec()).map_err(|_| SealError::Failed)
    }
}

impl Identity for AgeSecretKey {
    fn unwrap(&self, stanza: &Stanza, binding: &Binding) -> Result<Option<FileKey>, OpenError> {
        if stanza.kind() != KIND {
            return Ok(None);
        }
        let [share] = stanza.exactly()?;
        let share = decode::<32>(share)?;
        let body = stanza.wrapped_key()?;
        let shared = self.diffie_hellman_with(&share).map_err(|_| HeaderError::Stanza)?;
        let key = wrap_key(&shared, &share, self.public_key().as_bytes(), binding.backend());
        Ok(wrap::open(key, body))
    }
}

fn wrap_key(shared: &SharedSecret, share: &[u8; 32], recipient: &[u8; 32], backend: Backend) -> OneTimeKey {
    let salt = [share.as_slice(), recipient].concat();
    OneTimeKey::new(backend, &hkdf(&[shared.raw().expose()], &salt, INFO))
}
