//! Integration tests of `symbolon-keys`.

mod common;
mod derivation;
#[cfg(feature = "passphrase")]
mod passphrase;
