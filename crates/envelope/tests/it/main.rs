//! Tests of `symbolon-envelope` through its public interface, with all its features on (see the dev-dependencies).
#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic_in_result_fn,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::unwrap_in_result,
    unreachable_pub,
    reason = "tests may panic, and have std"
)]

mod asynchronous;
mod custodian;
mod differential;
mod faults;
mod fuzz;
mod hostile;
mod interop;
mod keys;
mod killed;
mod late;
mod messages;
mod stores;
mod streams;
mod support;
mod testkit;
mod two_keys;
mod vectors;
