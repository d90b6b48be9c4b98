//! Integration tests of `symbolon-keys`, with all its features on (see the dev-dependencies).
#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::panic_in_result_fn,
    clippy::std_instead_of_alloc,
    reason = "tests may panic, and have std"
)]

mod aead;
mod common;
mod debug;
mod derivation;
mod fuzz;
mod identity;
mod identity_file;
mod kem;
mod labels;
mod mac;
mod passphrase;
mod values;
mod x25519;
