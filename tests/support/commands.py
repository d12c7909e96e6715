"""Runs the command-line apps as people do: as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

_TIMEOUT_S: Final = 300.0


def environment() -> Mapping[str, str]:
    """That of this process, with which a new interpreter finds the modules that this one finds."""
    paths = (os.path.abspath(path) for path in sys.path if path)  # noqa: PTH100 - an entry may be a zip file
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run(app: str, *arguments: object, timeout_s: float = _TIMEOUT_S) -> "subprocess.CompletedProcess[str]":
    """Runs `athanor.cli.<app>` to its end and returns exit status, standard output and standard error.

    Args:
        arguments: each is passed as its text.
    """
    command = [sys.executable, "-m", f"athanor.cli.{app}", *map(str, arguments)]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env=environment(),
        timeout=timeout_s,
        check=False,
    )
