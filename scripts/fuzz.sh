#!/usr/bin/env bash
# Runs each libFuzzer target for FUZZ_SECONDS. New inputs grow a corpus under build/fuzz/corpus; an
# input that crashes is kept under build/fuzz/found and named.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
FUZZ_SECONDS=${FUZZ_SECONDS:-60}
cmake --preset fuzz -DSHOAL_MARCH="${SHOAL_MARCH:-native}" --log-level=WARNING >/dev/null
cmake --build --preset fuzz -j "${JOBS:-$(nproc)}"
for target in build/fuzz/fuzz/fuzz_*; do
    name=$(basename "$target")
    grown="build/fuzz/corpus/$name"
    found="build/fuzz/found/$name-"
    mkdir -p "$grown" build/fuzz/found
    printf '== %s for %s s\n' "$name" "$FUZZ_SECONDS"
    "$target" -max_total_time="$FUZZ_SECONDS" -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$found" "$grown" "tests/fuzz/corpus/$name"
done
