"""A Ray cluster of one node that listens on loopback and wants a token, as a process of its own."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.commands import environment
from support.processes import find_descendants, kill, wait_until

from athanor.serving.settings import find_free_ports

_START_S: Final = 120.0
_END_S: Final = 30.0


@dataclass(frozen=True)
class RayHead:
    """Where it answers, and the file with its token."""

    address: str
    token: Path


@contextmanager
def run_ray_head(cpus: int = 2, variables: Mapping[str, str] | None = None) -> Iterator[RayHead]:
    """Runs a head for as long as the context lasts.

    Args:
        cpus: that it offers.
        variables: of its environment, in the place of those that it would have.
    """
    # The paths of sockets may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        token = Path(folder) / "token"
        token.write_text(secrets.token_urlsafe(32))
        port = find_free_ports(1)
        log = Path(folder) / "log"
        with log.open("wb") as out:
            head = subprocess.Popen(
                _command(port, cpus, Path(folder)),
                env={**environment(), **_variables(token), **(variables or {})},
                stdout=out,
                stderr=out,
                cwd=folder,
            )
        try:
            started = wait_until(lambda: b"Ray runtime started" in log.read_bytes(), _START_S)
            assert started, log.read_text()
            yield RayHead(f"127.0.0.1:{port}", token)
        finally:
            below = find_descendants(head.pid)
            head.terminate()
            wait_until(lambda: not find_descendants(head.pid), _END_S)
            kill(below)
            head.kill()
            head.wait()


def _command(port: int, cpus: int, folder: Path) -> list[str]:
    flags = {
        "port": port,
        "node-ip-address": "127.0.0.1",
        "min-worker-port": 0,
        "max-worker-port": 0,
        "include-dashboard": "false",
        "num-cpus": cpus,
        "object-store-memory": 128 * 1024 * 1024,
        "temp-dir": folder / "r",
    }
    options = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    return [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
        *options,
    ]


def _variables(token: Path) -> dict[str, str]:
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "PATH": os.environ["PATH"],
    }
