"""Pants inside Pants. The daemon of the outer one is busy with this program; the inner ones share another."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_DAEMON: Final = ".pids/benchmarks"


@contextmanager
def inner_daemon(root: Path) -> Iterator[Mapping[str, str]]:
    """The environment of inner Pants. Their daemon is stopped at the end.

    Without it each run would read the repository anew, which took 24 s on two cores instead of 5.
    """
    daemon = root / _DAEMON
    # What the outer Pants set for this program must not reach the inner ones.
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("PEX_", "PYTHON"))}
    try:
        # One at a time: a run that finds the daemon busy waits instead of doing without.
        yield {**outer, "PANTS_SUBPROCESSDIR": str(daemon), "PANTS_CONCURRENT": "false"}
    finally:
        for pid in daemon.glob("*/pantsd/pid"):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(pid.read_text()), signal.SIGTERM)


def run_pants(root: Path, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Runs `./pants` with its output in a file; returns the exit status."""
    with log.open("wb") as file:
        return subprocess.run(
            [root / "pants", *arguments],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
