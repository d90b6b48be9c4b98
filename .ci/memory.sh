#!/usr/bin/env bash
# What needs `unsafe` to be seen (tests/unsafe): secrets are gone from freed memory, a forked generator gives other
# bytes, a message takes nothing from the heap, a stream of any length the same, and no branch or place in memory
# depends on a secret. The last needs valgrind; CI sets SYMBOLON_REQUIRE_VALGRIND=1. Uses CARGO_TARGET_DIR if it is set.
set -euo pipefail
cd "$(dirname "$0")/.."
workspace=(--manifest-path tests/unsafe/Cargo.toml)
for package in agreement envelope process table wiping; do
    cargo test -q "${workspace[@]}" -p "$package"
done

if command -v valgrind >/dev/null && [ "$(uname -m)" = x86_64 ]; then
    for package in constant-time agreement; do
        cargo build -q "${workspace[@]}" -p "$package"
    done
    for program in constant-time constant-time-agreement; do
        valgrind -q --error-limit=no --log-file=/dev/null "${CARGO_TARGET_DIR:-tests/unsafe/target}/debug/$program"
    done
elif [ "${SYMBOLON_REQUIRE_VALGRIND:-0}" = 1 ]; then
    echo "valgrind is required and not there"
    exit 1
else
    echo "SKIPPED: no valgrind"
fi
