//! Integration tests of `symbolon-ledger`, with all its features on (see the dev-dependencies).
#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::panic_in_result_fn,
    clippy::std_instead_of_alloc,
    reason = "tests may panic, and have std"
)]

mod books;
mod ending;
mod files;
mod frames;
mod fuzz;
mod hostile;
mod keys;
mod kill;
mod log_store;
mod model;
mod pads;
mod requests;
mod restored;
mod settlement;
mod stores;
mod witness;
mod world;
