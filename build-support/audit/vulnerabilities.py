"""Looks up known vulnerabilities of pinned packages: pip-audit for each lock, and one verdict."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

# All code that runs, and the tools that build it.
LOCKS: Final = ("3rdparty/python/*.lock", "3rdparty/tools/*.lock")

# A lock is complete and hashed, so pip-audit resolves and installs nothing. Strict: an unknown package is an error.
_OPTIONS: Final = ("--require-hashes", "--disable-pip", "--strict", "--progress-spinner=off", "--format=json")


class UnansweredError(Exception):
    """The service did not answer for every package."""


def find_vulnerabilities(lock: Path, options: Sequence[str] = ()) -> list[str]:
    """A line for each known vulnerability of a lock's packages on this platform.

    Raises:
        UnansweredError: no service answered, or not for every package.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip_audit", *_OPTIONS, f"--output={report}", f"--requirement={lock}"]
        # It shares this process's libraries, wherever Pants put them.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([*command, *options], check=False, env=environment, capture_output=True, text=True)
        if not report.is_file():
            raise UnansweredError(f"{lock}: pip-audit ended with {done.returncode}: {done.stderr.strip()[-1000:]}")
        return list(_read(json.loads(report.read_text())["dependencies"]))


def _read(dependencies: list[dict[str, Any]]) -> Iterator[str]:
    for found in dependencies:
        if "skip_reason" in found:
            raise UnansweredError(f"{found['name']}: {found['skip_reason']}")
        for one in found["vulns"]:
            fixed = ", ".join(one["fix_versions"]) or "none"
            yield f"{found['name']} {found['version']}: {one['id']}, fixed in {fixed}"


def audit(locks: Sequence[Path], options: Sequence[str]) -> int:
    """Prints a line for each lock and each vulnerability. 3: found some; 1: a lock was not audited."""
    statuses = {_audit(lock, options) for lock in locks}
    return next(status for status in (1, 3, 0) if status in statuses)


def _audit(lock: Path, options: Sequence[str]) -> int:
    try:
        found = find_vulnerabilities(lock, options)
    except UnansweredError as error:
        print(f"NOT AUDITED: {error}", file=sys.stderr, flush=True)
        return 1
    print(f"{lock}: {len(found)} known vulnerabilities", flush=True)
    for line in found:
        print(f"  {line}", flush=True)
    return 3 if found else 0


def main() -> int:
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(prog="build-support/audit/audit", description=__doc__)
    parser.add_argument("locks", nargs="*", type=Path, help="all of 3rdparty/python and 3rdparty/tools by default")
    locks = parser.parse_args(arguments[:split]).locks
    known = [path for pattern in LOCKS for path in sorted(Path().glob(pattern))]
    return audit(locks or known, arguments[split + 1 :])


if __name__ == "__main__":
    sys.exit(main())
