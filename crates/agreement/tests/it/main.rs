//! Tests of `symbolon-agreement` against vectors, other implementations, and attackers; with all features on (see the
//! dev-dependencies).
#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic_in_result_fn,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    unreachable_pub,
    reason = "tests may panic, and have std"
)]

mod datagram;
mod fuzz;
mod net;
mod noise;
mod profile;
mod steps;

/// `message` with a bit of each byte flipped, cut at every place, and with a byte more.
fn tampered(message: &[u8]) -> Vec<Vec<u8>> {
    let flipped = (0..message.len()).map(|n| {
        let mut bad = message.to_vec();
        bad[n] ^= 1 << (n % 8);
        bad
    });
    let cut = (0..message.len()).map(|n| message[..n].to_vec());
    flipped.chain(cut).chain([[message, &[0]].concat()]).collect()
}
