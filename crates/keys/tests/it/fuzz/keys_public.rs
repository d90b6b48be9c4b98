//! Public keys from strangers: the backends agree on every 32 bytes, and what is imported is canonical and of use.

use symbolon_keys::hazmat::x25519;
use symbolon_keys::{Backend, InvalidKey, Label, NoisePublicKey, Rejected, Secret, Signature, VerifyingKey};

pub(crate) fn run(data: &[u8]) {
    let Some((public, rest)) = data.split_first_chunk::<32>() else { return };
    let secret: [u8; 32] = rest.first_chunk().copied().unwrap_or([9; 32]);
    let shared: Vec<_> = Backend::ALL
        .iter()
        .map(|&backend| x25519(backend, &Secret::from(secret), public).map(|shared| *shared.raw().expose()))
        .collect();
    assert!(shared.windows(2).all(|pair| pair[0] == pair[1]), "the backends differ");
    match NoisePublicKey::from_bytes(*public) {
        Ok(key) => assert!(key.as_bytes() == public && shared[0].is_ok()),
        Err(InvalidKey::LowOrder) => assert_eq!(shared[0], Err(Rejected)),
        Err(_) => {}
    }
    if let Ok(key) = VerifyingKey::from_bytes(public) {
        const PURPOSE: Label = Label::new("example.org/fuzz/v1");
        assert_eq!(key.as_bytes(), public);
        let signature = Signature::from(rest.first_chunk().copied().unwrap_or([0; 64]));
        assert_eq!(key.verify(PURPOSE, &[rest], &signature), Err(Rejected));
    }
}
