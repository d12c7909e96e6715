"""A Ray cluster of one node that listens on loopback and wants a token, as a process of its own."""

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import ray_head_process
from support.commands import environment


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
        head = subprocess.Popen(
            [sys.executable, ray_head_process.__file__, str(cpus), f"{folder}/r"],
            env={**environment(), **_variables(token), **(variables or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        # Leaving the process closes its standard input, and waits for it.
        with head:
            assert head.stdout is not None
            address = head.stdout.readline().strip()
            assert address, f"the head ended with status {head.wait()}"
            yield RayHead(address, token)


def _variables(token: Path) -> dict[str, str]:
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
