"""Runs the programs of others that stand in the sandbox of a test: binaries of `tests/clients`."""

import subprocess
from pathlib import Path
from typing import Final

_FOLDER: Final = Path("tests.clients").absolute()
_TIMEOUT_S: Final = 480.0


def run_program(name: str, *arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Runs a binary to its end, standard error beside standard output.

    Args:
        cwd: where it may leave files.
    """
    return subprocess.run(
        [str(_FOLDER / f"{name}.pex"), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        cwd=cwd,
        timeout=_TIMEOUT_S,
        check=False,
    )
