//! Integration tests of `symbolon-keys`, with all its features on (see the dev-dependencies).
#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::std_instead_of_alloc,
    reason = "tests may panic, and have std"
)]

mod common;
mod derivation;
mod identity;
mod identity_file;
mod passphrase;
