#!/usr/bin/env bash
# The envelopes against the crate `age`, as a process (benches/peers/age-peer): each opens what the other sealed, and both
# refuse the same altered files. SYMBOLON_DIFFERENTIAL sets how many of these there are (default 400).
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build -q --locked --manifest-path benches/peers/Cargo.toml --target-dir "$target/peers" -p age-peer
SYMBOLON_AGE_PEER=$(realpath "$target/peers/debug/age-peer") cargo test -q -p symbolon-envelope --test it differential::
