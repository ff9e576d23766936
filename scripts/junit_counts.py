#!/usr/bin/env python3
"""Prints "passed failed names-of-failed" of a JUnit report that ctest wrote."""

import sys
import xml.etree.ElementTree as ElementTree


def main() -> int:
    passed, failed = 0, []
    for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
        if case.get("status") == "run":
            passed += 1
        elif case.get("status") != "disabled":
            failed.append(case.get("name"))
    print(passed, len(failed), *failed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
