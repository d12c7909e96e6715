"""Runs the command-line apps in their own processes, as users do."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_TIMEOUT_S: Final = 300.0


def environment() -> Mapping[str, str]:
    """Environment of this process, with the import path of this interpreter."""
    paths = (os.path.abspath(path) for path in sys.path if path)  # noqa: PTH100 - an entry may be a zip file
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run(
    app: str, *arguments: object, timeout_s: float = _TIMEOUT_S, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs a command-line app and returns its exit status, standard output and standard error.

    Args:
        app: folder of the app below `athanor.cli`; "app" for the one of all layers.
        arguments: passed as text.
        cwd: folder that it starts in.
    """
    module = "athanor.cli.app" if app == "app" else f"athanor.cli.{app}.app"
    # A binary imports nothing from its working folder either.
    command = [sys.executable, "-P", "-m", module, *map(str, arguments)]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env=environment(),
        cwd=cwd,
        timeout=timeout_s,
        check=False,
    )
