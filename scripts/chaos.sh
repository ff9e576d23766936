#!/usr/bin/env bash
# The crash tests for longer: KILLS kills (default 200) with a new seed, which is printed and can be
# given as SHOAL_TEST_SEED to run the same again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$(deps/venv.sh build tests/requirements.txt)
export SHOAL_BIN_DIR="$PWD/build/bin"
export SHOAL_TEST_KILLS=${KILLS:-200}
exec "$venv/bin/python" -m pytest -q -s -p no:cacheprovider tests/e2e/test_crash.py
