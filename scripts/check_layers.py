#!/usr/bin/env python3
"""Refuses an #include or a call that goes against the direction of dependencies between the rooms.

    base <- index <- shard <- query <- server;  wire, limit, slm stand on base;
    client stands on wire, and in its embedded*.c on server as well

A third-party header belongs to one room, which wraps it for the others. A function named
<noun>__<verb> belongs to its room alone.
"""

import re
import sys
from pathlib import Path

import tree

ALLOWED = {
    "base": set(),
    "index": {"base"},
    "wire": {"base"},
    "limit": {"base"},
    "shard": {"index", "base"},
    "query": {"shard", "index", "wire", "base"},
    "slm": {"wire", "base"},
    "server": {"query", "limit", "slm", "shard", "index", "wire", "base"},
    "client": {"wire", "base"},
}
EMBEDDED_CLIENT = {"server", "query", "shard", "index", "wire", "base"}

# Header prefix -> the room that wraps it. Headers that are not listed are the C library's.
THIRD_PARTY = {
    "simdjson": "base",
    "mpack": "base",
    "xxh": "base",
    "faiss/": "index",
    "cblas.h": "index",
    "omp.h": "index",
    "lmdb.h": "shard",
    "roaring/": "shard",
    "nng/": "wire",
    "hiredis/": "limit",
    "llama": "slm",
    "ggml": "slm",
    "gguf": "slm",
    "utf8proc.h": "slm",
    "libstemmer.h": "slm",
    "curl/": "slm",
    "microhttpd.h": "server",
    "cmark": "slm",
    "gumbo": "slm",
    "nettle/": "slm",
    "cmocka.h": "tests",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
PRIVATE_NAME = re.compile(r"\b([a-z][a-z0-9]*(?:_[a-z0-9]+)*__[a-z0-9_]+)\s*\(")


def check_own_include(path: Path, header: str) -> str | None:
    room, target = tree.room_of(path), header.split("/")[0]
    if room == "tests" or room == "bench":
        return None if (tree.ROOT / header).exists() else f'"{header}" is not in the tree; ' \
            "includes are written from the root"
    if not (tree.ROOT / header).exists():
        return f'"{header}" is not in the tree: write it from the root, as in "base/err.h"'
    allowed = ALLOWED[room]
    if room == "client" and path.stem.split("_")[0] == "embedded":
        allowed = EMBEDDED_CLIENT
    if target == room or target in allowed:
        return None
    return f"{room}/ may not see {target}/: pass what is needed as an argument, or move it down " \
        f"to a room that {room}/ stands on ({', '.join(sorted(allowed)) or 'none'})"


def check_library_include(path: Path, header: str) -> str | None:
    room = tree.room_of(path)
    for prefix, owner in THIRD_PARTY.items():
        if not header.startswith(prefix) or room == owner:
            continue
        if room == "tests" and len(path.parts) > 2 and path.parts[1] == owner:
            return None
        return f"<{header}> belongs to {owner}/: use what {owner}/ offers over it"
    return None


def check_includes(path: Path, text: str) -> list[tuple[int, str]]:
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        match = INCLUDE.match(line)
        if match is None:
            continue
        check = check_own_include if match.group(1) == '"' else check_library_include
        problem = check(path, match.group(2))
        if problem is not None:
            found.append((number, problem))
    return found


def private_names(sources: dict[Path, list[str]]) -> dict[str, str]:
    """Name of each <noun>__<verb> that a header declares -> the header's room."""
    names = {}
    for path, lines in sources.items():
        if path.suffix in (".h", ".hpp") and tree.room_of(path) in ALLOWED:
            for match in PRIVATE_NAME.finditer("\n".join(lines)):
                names[match.group(1)] = tree.room_of(path)
    return names


def check_private_calls(
    path: Path, lines: list[str], owners: dict[str, str]
) -> list[tuple[int, str]]:
    found = []
    for number, line in enumerate(lines, start=1):
        for match in PRIVATE_NAME.finditer(line):
            owner = owners.get(match.group(1))
            if owner is not None and owner != tree.room_of(path):
                found.append((number, f"{match.group(1)}() is {owner}/'s own: use what its "
                              "headers offer to other rooms"))
    return found


def main() -> int:
    paths = [path for path in tree.c_files() if tree.room_of(path) in (*ALLOWED, "tests", "bench")]
    texts = {path: tree.read(path) for path in paths}
    codes = {path: tree.code_lines(text) for path, text in texts.items()}
    owners = private_names(codes)
    problems = 0
    for path in paths:
        found = check_includes(path, texts[path])
        if tree.room_of(path) in ALLOWED:
            found += check_private_calls(path, codes[path], owners)
        for number, problem in sorted(found):
            print(f"{path}:{number}: {problem}")
            problems += 1
    print(f"layers: {len(paths)} files, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
