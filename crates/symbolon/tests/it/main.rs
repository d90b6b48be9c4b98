//! Integration tests of the facade: real sockets, a real database, and everything that can go wrong in between.
#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::panic_in_result_fn,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    reason = "tests may panic, and have std"
)]

mod approvals;
mod documents;
mod fuzz;
mod hostile;
mod kill;
mod limits;
mod mail;
mod observe;
mod pads;
#[path = "../../../store/tests/it/cluster.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests of the store use more of it")]
mod postgres;
mod prices;
mod processes;
mod restart;
mod world;
