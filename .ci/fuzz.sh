#!/usr/bin/env bash
# Builds every fuzz target and runs each for FUZZ_SECONDS (default 4) from its committed corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-4}
# Sanitizers are unstable flags; this lets the stable compiler take them.
export RUSTC_BOOTSTRAP=1
cargo fuzz build
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for target in $(cargo fuzz list); do
    echo "-- $target"
    mkdir -p "$scratch/$target" "fuzz/corpus/$target"
    # New inputs go to the scratch folder, which comes first; the committed corpus is only read.
    cargo fuzz run "$target" "$scratch/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 2>&1 |
        grep -E 'stat::number_of_executed_units|ERROR|SUMMARY|panicked' || true
    test "${PIPESTATUS[0]}" -eq 0
done
