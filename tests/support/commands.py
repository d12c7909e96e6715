"""Runs the command-line apps as people do: as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

_TIMEOUT_S: Final = 300.0
_MODULES: Final = ("app", "tokens")


def environment() -> Mapping[str, str]:
    """That of this process, with which a new interpreter finds the modules that this one finds."""
    paths = (os.path.abspath(path) for path in sys.path if path)  # noqa: PTH100 - an entry may be a zip file
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run(app: str, *arguments: object, timeout_s: float = _TIMEOUT_S) -> "subprocess.CompletedProcess[str]":
    """Runs a command-line app to its end and returns exit status, standard output and standard error.

    Args:
        app: module of `athanor.cli`, such as "app", or the folder of one that is called app.
        arguments: each is passed as its text.
    """
    module = app if app.rpartition(".")[2] in _MODULES else f"{app}.app"
    command = [sys.executable, "-m", f"athanor.cli.{module}", *map(str, arguments)]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env=environment(),
        timeout=timeout_s,
        check=False,
    )
