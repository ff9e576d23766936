"""What the check scripts share: the files of the tree, and C text without comments and strings."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ROOMS = ("base", "index", "wire", "limit", "shard", "query", "slm", "server", "client")
C_SUFFIXES = (".c", ".h", ".cpp", ".hpp")

# A comment, a string or a character, in the order in which they can start.
_NOT_CODE = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL
)


def files() -> list[Path]:
    """Everything under version control or about to be, as paths from the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    names = sorted(set(listed.split("\0")) - {""})
    return [Path(name) for name in names if (ROOT / name).is_file()]


def c_files() -> list[Path]:
    return [path for path in files() if path.suffix in C_SUFFIXES]


def room_of(path: Path) -> str:
    """The first directory of the path, which for sources is the room; "" for files at the root."""
    return path.parts[0] if len(path.parts) > 1 else ""


def read(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def code_lines(text: str) -> list[str]:
    """The lines of a C text with comments and the insides of strings blanked, numbers unchanged."""

    def blank(match: re.Match) -> str:
        return re.sub(r"[^\n]", " ", match.group())

    return _NOT_CODE.sub(blank, text).split("\n")
