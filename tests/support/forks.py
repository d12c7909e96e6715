"""Starts processes in milliseconds: forks of a server that has imported everything and done nothing with it.

A module whose functions they run names itself by `FORKS.set_forkserver_preload`. The environment is the server's.
"""

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from typing import Any, Final

FORKS: Final = get_context("forkserver")


def start(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Starts a process that runs a function; it ends with its parent at the latest."""
    process = FORKS.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process
