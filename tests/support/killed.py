"""Kills processes in the middle of their work, before a numbered step: neither clock nor load decides when.

A step is a write or a flush below a folder, or an audit event `STEP`, by which the work announces any other.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from ctypes import c_int
from itertools import count
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Final

from support.forks import FORKS

STEP: Final = "support.step"
NEVER: Final = 0
_WRITES: Final = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod", "shutil.rmtree")


def run_until(step: int, below: Path, work: Callable[..., None], *arguments: Any, context: BaseContext = FORKS) -> int:
    """Runs a function in a process that is killed before a step; returns the number of steps that it reached.

    Args:
        step: counted from 1; `NEVER` lets it end.
        below: the folder in which each write is a step.
    """
    reached = context.RawValue(c_int)
    process = context.Process(  # type: ignore[attr-defined]
        target=_work_until, args=(step, str(below), reached, work, arguments), daemon=True
    )
    process.start()
    process.join()
    is_killed = step != NEVER and reached.value >= step
    assert process.exitcode == (-signal.SIGKILL if is_killed else 0)
    return reached.value


def spread(steps: int, kills: int) -> list[int]:
    """Steps to kill before: the first, the last, others evenly between them, and `NEVER`."""
    return [*(1 + (steps - 1) * number // (kills - 2) for number in range(kills - 1)), NEVER]


def kill_at_every_moment(work: Callable[[], None], below: Path) -> Iterator[int]:
    """Runs the work in a process that is killed before its first step, then in one killed before its second, and so on.

    The caller examines the remains of each and restores the start, until one process completes the work.
    """
    fork = get_context("fork")
    for step in count(1):
        if run_until(step, below, work, context=fork) < step:
            return
        yield step


def die_beyond(size: int) -> None:
    """Lets the kernel kill this process in the middle of the write by which a file grows beyond a size, in bytes.

    For native code, whose writes Python does not see: they are no steps.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _work_until(step: int, below: str, reached: Any, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    def on_event(event: str, values: tuple[Any, ...]) -> None:
        if _is_step(below, event, values):
            reached.value += 1
            if reached.value == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    work(*arguments)


def _is_step(below: str, event: str, values: tuple[Any, ...]) -> bool:
    # `shutil.rmtree` names what it removes relative to its folder.
    if event in (STEP, "os.remove", "os.rmdir"):
        return True
    # `os.open`, as for a flush or a lock, has no mode.
    is_write = event in _WRITES or (event == "open" and values[1] not in ("r", "rb"))
    return is_write and str(values[0]).startswith(below)
