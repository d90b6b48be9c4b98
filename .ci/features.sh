#!/usr/bin/env bash
# Every crate alone: without features, with its default ones, and with each feature by itself. In the workspace
# features unify, and hide what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
for manifest in crates/*/Cargo.toml; do
    package=$(awk -F'"' '/^name = / { print $2; exit }' "$manifest")
    features=$(awk '/^\[/ { inside = $0 == "[features]" } inside && /^[a-z]/ { print $1 }' "$manifest")
    echo "-- $package: none, $(echo $features)"
    cargo clippy -q -p "$package" --no-default-features -- -D warnings
    for feature in $features; do
        cargo clippy -q -p "$package" --no-default-features --features "$feature" -- -D warnings
    done
done
