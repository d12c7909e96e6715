"""Command lines where a test has mounted file systems of its own: full, read-only, or without names of users."""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from support.commands import environment

_UNSHARE: Final = ("unshare", "--map-root-user", "--mount")


def require_mounts(mount: str) -> None:
    """Skips a test where some machines want more rights.

    Args:
        mount: a command that mounts something.
    """
    try:
        done = subprocess.run([*_UNSHARE, "sh", "-c", mount], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is absent: install util-linux")
    if done.returncode:
        pytest.skip(f"this machine permits no mounts of a test's own: {done.stderr.decode()}")


def run_turns(
    mounts: Sequence[str], home: Path, lines: Sequence[str], variables: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Runs command lines of `support.turns` where these mounts were made; none may print a traceback."""
    program = shlex.join([sys.executable, "-m", "support.turns", str(home), *lines])
    command = [*_UNSHARE, "sh", "-c", " && ".join([*mounts, program])]
    done = subprocess.run(command, capture_output=True, env=variables or environment(), check=False, cwd=home.parent)
    assert done.returncode == 0, done.stderr.decode()
    turns: list[dict[str, Any]] = json.loads(done.stdout)
    assert not [turn for turn in turns if "Traceback" in turn["printed"]]
    return turns
