#!/usr/bin/env bash
# Recall, speed and memory: Shoal's HNSW in process, over HTTP and over NNG, beside faiss-cpu's and
# hnswlib's own HNSW in the same run. Figures go to standard output and to build/bench/results.json.
# Options are those of bench/run.py (--help).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$(deps/venv.sh build bench/requirements.txt)
cache=${SHOAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/shoal}
exec "$venv/bin/python" bench/run.py --data "$cache/glove-1.1.0" "$@"
