"""Copies FAISS's and NNG's headers and archives out of cargo's build directories.

cargo says in its JSON messages where each crate's build script put its output; the crates' CMake
runs installed their libraries there.

usage: collect_native.py <cargo messages> <directory to fill>
"""

import json
import shutil
import sys
from pathlib import Path

# Crate -> archives in the order that a linker wants them.
ARCHIVES = {
    "faiss-sys": ["libfaiss_c.a", "libfaiss.a"],
    "nng-c-sys": [
        "libnng.a",
        "libmbedtls.a",
        "libmbedx509.a",
        "libmbedcrypto.a",
        "libeverest.a",
        "libp256m.a",
    ],
}


def output_directories(messages: Path) -> dict[str, Path]:
    found = {}
    for line in messages.read_text().splitlines():
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        if message.get("reason") != "build-script-executed":
            continue
        for crate in ARCHIVES:
            if crate in message["package_id"]:
                found[crate] = Path(message["out_dir"])
    return found


def main() -> int:
    messages, to = Path(sys.argv[1]), Path(sys.argv[2])
    (to / "lib").mkdir(parents=True)
    directories = output_directories(messages)
    for crate, archives in ARCHIVES.items():
        if crate not in directories:
            print(f"{crate}: cargo did not say where its output is", file=sys.stderr)
            return 1
        out = directories[crate]
        for archive in archives:
            places = [out / "lib" / archive, out / "lib64" / archive]
            source = next((place for place in places if place.exists()), None)
            if source is None:
                print(f"{crate}: no {archive} under {out}", file=sys.stderr)
                return 1
            shutil.copy2(source, to / "lib" / archive)
        for name in ("faiss", "nng"):
            if (out / "include" / name).is_dir():
                shutil.copytree(out / "include" / name, to / "include" / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
