//! Sealed data from strangers: the backends accept the same, and open it to the same.

use symbolon_keys::hazmat::ChaChaPoly;
use symbolon_keys::{Backend, Secret};

pub(crate) fn run(data: &[u8]) {
    let Some((tag, ciphertext)) = data.split_first_chunk::<16>() else { return };
    let (aad, ciphertext) = ciphertext.split_at(ciphertext.len() / 4);
    let opened: Vec<_> = Backend::ALL
        .iter()
        .map(|&backend| {
            let key = ChaChaPoly::new(backend, &Secret::from([7; 32]));
            let mut in_place = ciphertext.to_vec();
            let opened = key.open_in_place([0; 12], aad, &mut in_place, tag).map(|()| in_place);
            let mut sealed = ciphertext.to_vec();
            (opened, key.seal_in_place([0; 12], aad, &mut sealed), sealed)
        })
        .collect();
    assert!(opened.windows(2).all(|pair| pair[0] == pair[1]), "the backends differ");
}
