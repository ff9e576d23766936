#!/usr/bin/env python3
"""Plants one violation at a time in a small tree and sees that the checks find it, and only it."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent

# A tree that both checks accept. Every case below changes one file of it.
CLEAN = {
    "base/err.h": "int err_set(int code);\nint err__pack(int code);\n",
    "base/err.c": '#include "base/err.h"\n\nint err_set(int code)\n{\n    return code;\n}\n',
    "base/mem.c": "#include <stdlib.h>\n\nvoid mem_free(void *p)\n{\n    free(p);\n}\n",
    "index/flat.c": '#include "base/err.h"\n#include <faiss/c_api/Index_c.h>\n',
    "query/plan.h": "struct plan;\n",
    "shard/shard.h": "struct shard;\n",
    "client/embedded_open.c": '#include "shard/shard.h"\n',
    "tests/base/test_err.c": "#include <cmocka.h>\n",
}

LAYERS = "check_layers.py"
STYLE = "check_style.py"
LONG_FUNCTION = "int f(void)\n{\n" + "    g();\n" * 71 + "}\n"
# (check that must speak, file, its text, a part of what must be said)
CASES = [
    (LAYERS, "base/err.c", '#include "query/plan.h"\n', "base/err.c:1: base/ may not see query/"),
    (LAYERS, "client/open.c", '\n#include "shard/shard.h"\n', "client/open.c:2: client/ may not"),
    (LAYERS, "index/flat.c", '#include "flat.h"\n', "write it from the root"),
    (LAYERS, "shard/shard.c", "#include <faiss/Index.h>\n", "belongs to index/"),
    (LAYERS, "server/rest.c", "#  include <lmdb.h>\n", "belongs to shard/"),
    (LAYERS, "index/flat.c", "int f(void)\n{\n    return err__pack(1);\n}\n", "base/'s own"),
    (STYLE, "base/err.c", "int f(char *a)\n{\n    return atoi(a);\n}\n", "base/err.c:3: atoi()"),
    (STYLE, "index/flat.c", "void f(void)\n{\n    free(0);\n}\n", "outside base/mem.c"),
    (STYLE, "tests/base/test_err.c", "int f(void)\n{\n    usleep(5);\n}\n", "waits for time"),
    (STYLE, "base/err.c", LONG_FUNCTION, "base/err.c:2: function of 71 lines"),
    (STYLE, "base/err.c", "/* " + "x" * 100 + " */\n", "line of 106 columns"),
    (STYLE, "base/err.c", "\n" * 701, "file of 701 lines"),
    (STYLE, "base/err.c", "int a; \n", "blanks at the end"),
    (STYLE, "docs/a.md", "see /" + "home/me/notes\n", "a path of one machine"),
    (STYLE, "docs/a.md", "from pypi" + ".org\n", "registry"),
]
ACCEPTED = [
    ("base/err.c", "/* atoi(a) and malloc(1) in a comment */\nconst char *s = \"free(p)\";\n"),
    ("index/flat.c", "void f(struct ops *o)\n{\n    o->free(0);\n    list_free(0);\n}\n"),
    ("base/err.c", "void f(char *a)\n{\n    atoi(a); /* style: digits checked above */\n}\n"),
    ("base/err.c", "int f(void)\n{\n" + "    g();\n" * 70 + "}\n"),
]


def run(check: str, root: Path) -> tuple[int, str]:
    command = [sys.executable, root / "scripts" / check]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def with_tree(change: tuple[str, str] | None, see) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        subprocess.run(["git", "init", "-q", root], check=True)
        (root / "scripts").mkdir()
        for name in (LAYERS, STYLE, "tree.py"):
            shutil.copy2(SCRIPTS / name, root / "scripts")
        for name, text in {**CLEAN, **dict([change] if change else [])}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        see(root)


def main() -> int:
    failures = []

    def expect_clean(root: Path) -> None:
        for check in (LAYERS, STYLE):
            code, text = run(check, root)
            if code != 0:
                failures.append(f"{check} refuses an accepted tree:\n{text}")

    with_tree(None, expect_clean)
    for change in ACCEPTED:
        with_tree(change, expect_clean)
    for check, name, text, said in CASES:
        def expect_refused(root: Path) -> None:
            code, output = run(check, root)
            if code == 0 or said not in output or " 1 problems" not in output:
                failures.append(f"{check} on {name}: expected '{said}' alone, got:\n{output}")

        with_tree((name, text), expect_refused)
    for failure in failures:
        print(failure)
    print(f"checks: {len(CASES) + len(ACCEPTED) + 1} cases, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
