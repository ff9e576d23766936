#!/usr/bin/env python3
"""Refuses what the house style forbids and a machine can see.

A line that must break a rule says so with a comment "style: <reason>" at its end; there are no
other exceptions than those written here.
"""

import re
import sys
from pathlib import Path

import tree

LINE_COLUMNS_MAX = 100
FILE_LINES_AIM = 600
FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 70

WAIVER = "style: "

# Function -> what to use instead. Matched as a call, never as a member or a part of a longer name.
BANNED = {
    "strcpy": "a bounded copy (base/bytes.h or snprintf)",
    "strncpy": "a bounded copy that ends the string (snprintf)",
    "strcat": "struct buf (base/buf.h) or snprintf",
    "strncat": "struct buf (base/buf.h) or snprintf",
    "sprintf": "snprintf or struct buf (base/buf.h)",
    "vsprintf": "vsnprintf",
    "gets": "fgets",
    "scanf": "a parser that bounds its input",
    "sscanf": "a parser that reports what it did not understand",
    "atoi": "strtol with its end and range checked",
    "atol": "strtol with its end and range checked",
    "atoll": "strtoll with its end and range checked",
    "atof": "strtod with its end and range checked",
    "strtok": "an explicit loop over the text",
    "alloca": "an arena (base/arena.h)",
    "rand": "base/rand.h",
    "srand": "base/rand.h",
    "random": "base/rand.h",
    "gmtime": "gmtime_r",
    "localtime": "localtime_r",
    "ctime": "strftime",
    "asctime": "strftime",
    "strerror": "strerror_r, or err_set_errno (base/err.h)",
    "system": "posix_spawn with an argument list",
    "popen": "posix_spawn with an argument list",
    "tmpnam": "mkstemp",
    "mktemp": "mkstemp",
}
# Allowed in the one file that wraps them, and in tests and benches.
MEMORY = ("malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup", "asprintf",
          "vasprintf", "posix_memalign", "aligned_alloc")
MEMORY_HOMES = {Path("base/mem.c")}
# Waiting for time to pass is no synchronisation; base/ wraps the clock.
SLEEPS = ("sleep", "usleep", "nanosleep", "clock_nanosleep")

MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:work|root|home/\w+|Users/\w+)/")
REGISTRY = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|crates\.io|npmjs\.(?:org|com)"
    r"|(?:deb|ftp|security)\.debian\.org|golang\.org|maven\.org)\b"
)
# Cargo writes the registry's name into its lock file itself; the check's own patterns are patterns.
REGISTRY_EXEMPT = {Path("deps/native/Cargo.lock")}
TEXT_SUFFIXES = (".c", ".h", ".cpp", ".hpp", ".py", ".sh", ".rs", ".txt", ".in", ".md", ".cmake",
                 ".toml", ".json", ".yml", ".yaml", ".js", ".html", ".css", ".lock", "")


def call_pattern(names) -> re.Pattern:
    return re.compile(r"(?<![\w.>])(?:" + "|".join(names) + r")\s*\(")


BANNED_CALL = call_pattern(BANNED)
MEMORY_CALL = call_pattern(MEMORY)
SLEEP_CALL = call_pattern(SLEEPS)


def called(match: re.Match) -> str:
    return match.group().rstrip("( \t")


def check_calls(path: Path, code: list[str], lines: list[str]) -> list[tuple[int, str]]:
    in_room = tree.room_of(path) in tree.ROOMS
    found = []
    for number, (line, original) in enumerate(zip(code, lines), start=1):
        if WAIVER in original:
            continue
        for match in BANNED_CALL.finditer(line):
            found.append((number, f"{called(match)}() is banned: use {BANNED[called(match)]}"))
        if in_room and path not in MEMORY_HOMES and path.suffix in (".c", ".h"):
            for match in MEMORY_CALL.finditer(line):
                found.append((number, f"{called(match)}() outside base/mem.c: use base/mem.h"))
        if tree.room_of(path) != "base":
            for match in SLEEP_CALL.finditer(line):
                found.append((number, f"{called(match)}() waits for time, not for an event: "
                              "use a condition with a deadline (base/thread.h)"))
    return found


def check_functions(lines: list[str]) -> list[tuple[int, str]]:
    """Functions are what stands between a "{" and a "}" that are alone in the first column."""
    found, opened = [], None
    for number, line in enumerate(lines, start=1):
        if line == "{":
            opened = number
        elif line == "}" and opened is not None:
            length = number - opened - 1
            if length > FUNCTION_LINES_MAX:
                found.append((opened, f"function of {length} lines: split it, "
                              f"the limit is {FUNCTION_LINES_MAX}"))
            opened = None
    return found


def check_lengths(lines: list[str]) -> list[tuple[int, str]]:
    found = []
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_COLUMNS_MAX:
            found.append((number, f"line of {len(line)} columns: the limit is {LINE_COLUMNS_MAX}"))
        if line != line.rstrip():
            found.append((number, "blanks at the end of the line"))
        if "\t" in line:
            found.append((number, "a tab: indent with 4 spaces"))
    if len(lines) > FILE_LINES_MAX:
        found.append((len(lines), f"file of {len(lines)} lines: split it by concept, "
                      f"the limit is {FILE_LINES_MAX}"))
    return found


def check_places(path: Path, lines: list[str]) -> list[tuple[int, str]]:
    found = []
    for number, line in enumerate(lines, start=1):
        if WAIVER in line:
            continue
        if MACHINE_PATH.search(line):
            found.append((number, "a path of one machine: derive it or take it as an argument"))
        if path not in REGISTRY_EXEMPT and REGISTRY.search(line):
            found.append((number, "a registry's host name: name the package alone"))
    return found


def check_file(path: Path) -> list[tuple[int, str]]:
    text = tree.read(path)
    lines = text.removesuffix("\n").split("\n")
    found = check_places(path, lines)
    if path.suffix in tree.C_SUFFIXES:
        found += check_calls(path, tree.code_lines(text), lines)
        found += check_functions(lines)
    if path.suffix in (*tree.C_SUFFIXES, ".py", ".sh", ".rs", ".cmake"):
        found += check_lengths(lines)
    return sorted(found)


def main() -> int:
    paths = [path for path in tree.files() if path.suffix in TEXT_SUFFIXES]
    problems, long_files = 0, []
    for path in paths:
        try:
            found = check_file(path)
        except UnicodeDecodeError:
            continue  # a binary file without a suffix, such as a fuzzer's input
        for number, problem in found:
            print(f"{path}:{number}: {problem}")
        problems += len(found)
        if path.suffix in tree.C_SUFFIXES and tree.read(path).count("\n") > FILE_LINES_AIM:
            long_files.append(str(path))
    if long_files:
        print(f"style: over {FILE_LINES_AIM} lines, think of splitting: {', '.join(long_files)}")
    print(f"style: {len(paths)} files, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
