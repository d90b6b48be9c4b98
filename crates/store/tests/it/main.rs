//! Tests of `symbolon-store` through its public interface, with all its features on (see the dev-dependencies).
#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    unreachable_pub,
    reason = "tests may panic, and have std"
)]

mod attach;
mod backup;
mod cluster;
mod commit;
mod conformance;
mod crash;
mod damage;
mod dropped;
mod faulty;
mod messages;
mod place;
mod postgres;
