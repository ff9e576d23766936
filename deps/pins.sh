#!/usr/bin/env bash
# Resolves the requirement files anew: each *.in that a person edits into the *.txt beside it, with
# every version and hash pinned. Run by hand when a version is to change.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ROOT=$(dirname "$DEPS_DIR")
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
"$SHOAL_PYTHON" -m venv "$SCRATCH/venv"
run_logged "pip-tools" "$SCRATCH/install.log" \
    "$SCRATCH/venv/bin/pip" install --disable-pip-version-check --no-input pip-tools
for name in deps/tools tests/requirements bench/requirements; do
    (
        cd "$ROOT/$(dirname "$name")"
        run_logged "$name.txt" "$SCRATCH/$(basename "$name").log" \
            "$SCRATCH/venv/bin/pip-compile" --generate-hashes --no-header --no-emit-index-url \
            --no-emit-find-links --no-emit-trusted-host --strip-extras --allow-unsafe \
            -o "$(basename "$name").txt" "$(basename "$name").in"
    )
done
