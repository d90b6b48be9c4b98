#!/usr/bin/env bash
# Builds and runs a program without std on each core (tests/unsafe/no_std): std anywhere below one is a build failure.
# Run from anywhere; uses CARGO_TARGET_DIR if it is set.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never
workspace=(--manifest-path tests/unsafe/Cargo.toml)

# That the check can fail: with a std planted below it, the program must not build.
if planted=$(cargo build -q "${workspace[@]}" -p no-std-keys --features planted 2>&1); then
    echo "a program with std below it was built: this check checks nothing"
    exit 1
fi
grep -q E0152 <<<"$planted" || { echo "$planted"; exit 1; }

for manifest in tests/unsafe/no_std/*/Cargo.toml; do
    package=$(awk -F'"' '/^name = / { print $2; exit }' "$manifest")
    [ "$package" = no-std-rt ] && continue
    cargo run -q "${workspace[@]}" -p "$package"
    echo "-- $package: builds and runs without std"
done
