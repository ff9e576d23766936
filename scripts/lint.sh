#!/usr/bin/env bash
# Formatting by .clang-format and defects by .clang-tidy, over every source under version control.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mapfile -t sources < <(git ls-files '*.c' '*.h' '*.cpp' '*.hpp')
echo "== clang-format: ${#sources[@]} files"
clang-format --dry-run --Werror "${sources[@]}"
cmake --preset clang -DSHOAL_MARCH="${SHOAL_MARCH:-native}" --log-level=WARNING >/dev/null
cmake --build --preset clang -j "${JOBS:-$(nproc)}"
mapfile -t units < <(git ls-files '*.c' '*.cpp')
echo "== clang-tidy: ${#units[@]} files"
printf '%s\0' "${units[@]}" | xargs -0 -P "${JOBS:-$(nproc)}" -n 4 clang-tidy -p build/clang --quiet
