#!/usr/bin/env bash
# A Python environment for one pinned requirements file, kept in the cache under the file's hash.
#
#   venv.sh path <requirements.txt>    prints where it is or will be
#   venv.sh build <requirements.txt>   makes it when it is not there, and prints where it is
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

make_venv() {
    [ ! -d "$FINAL" ] || return 0
    # An environment holds absolute paths, so it is made in place and marked complete by its name in
    # the cache being a link to it.
    rm -rf "$FINAL.files"
    "$SHOAL_PYTHON" -m venv "$FINAL.files" ||
        die "python3 cannot make environments: install the Debian package python3-venv"
    local count
    count=$(grep -cE '^[a-zA-Z0-9]' "$REQUIREMENTS")
    run_logged "Python packages of $NAME ($count)" "$SHOAL_CACHE/logs/venv-$KEY.log" \
        "$FINAL.files/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps \
        --require-hashes -r "$REQUIREMENTS"
    ln -sfn "$(basename "$FINAL.files")" "$FINAL"
}

REQUIREMENTS=${2:?usage: venv.sh path|build <requirements.txt>}
NAME=$(basename "$(dirname "$(realpath "$REQUIREMENTS")")")/$(basename "$REQUIREMENTS")
KEY=$(key_of 1 "$(command -v "$SHOAL_PYTHON")" "$("$SHOAL_PYTHON" -V)" "$(cat "$REQUIREMENTS")")
FINAL="$SHOAL_CACHE/venv-$KEY"
case $1 in
path) ;;
build) [ -d "$FINAL" ] || with_lock "venv-$KEY" make_venv ;;
*) die "usage: venv.sh path|build <requirements.txt>" ;;
esac
echo "$FINAL"
