//! Integration tests of `symbolon-table`, with all its features on (see the dev-dependencies).
#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::panic_in_result_fn,
    clippy::std_instead_of_alloc,
    reason = "tests may panic, and have std"
)]

mod approval;
mod bad_cases;
mod directory;
mod fixture;
mod fuzz;
mod inbox;
mod mailbox;
mod mailbox_model;
mod messages;
mod padding;
mod pairs;
mod stores;
mod table;
mod upkeep;
mod vectors;
