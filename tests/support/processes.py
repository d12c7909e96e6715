"""Which processes a test has started, directly or not, and that none of them outlives it. Reads Linux' /proc."""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_GRACE_S: Final = 60.0
_POLL_S: Final = 0.02


@dataclass(frozen=True)
class Process:
    """A process that has not ended.

    Attributes:
        command: with its arguments; it may rename itself.
        parent: changes when the parent ends, and the process is still the same.
        started: in ticks since the machine started; together with `pid` it never occurs again.
    """

    pid: int
    parent: int = field(compare=False)
    session: int
    started: int
    command: str = field(compare=False)


def list_processes() -> list[Process]:
    """All of this machine. One that has ended and waits for its parent to notice is none."""
    return [found for folder in Path("/proc").glob("[0-9]*") if (found := _read(folder))]


def _read(folder: Path) -> Process | None:
    try:
        # The command's name, in parentheses, may hold spaces and parentheses.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    return Process(int(folder.name), int(fields[1]), session=int(fields[3]), started=int(fields[19]), command=command)


def find_session(leader: int) -> set[Process]:
    """The members of a session."""
    return {process for process in list_processes() if process.session == leader}


def find_descendants(ancestor: int) -> set[Process]:
    """Children, their children and so on."""
    processes = list_processes()
    found: set[Process] = set()
    parents = {ancestor}
    while generation := {process for process in processes if process.parent in parents} - found:
        found |= generation
        parents = {process.pid for process in generation}
    return found


@contextmanager
def nothing_survives() -> Iterator[None]:
    """Whatever the context starts must have ended with it: what has not is killed, and fails the test."""
    # A process whose parent ends becomes a child of this one, whatever session it has moved to.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = find_descendants(os.getpid())
    try:
        yield
    except BaseException:
        _kill_descendants(before)
        raise
    # Helpers that end when a pipe closes may need a moment.
    wait_until(lambda: find_descendants(os.getpid()) <= before, _GRACE_S)
    left = find_descendants(os.getpid()) - before
    _kill_descendants(before)
    assert not left, f"still alive: {left}"


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether a condition comes true in time.

    Meanwhile it takes notice of every child that ends, as the first process of a machine does: to Ray's processes one
    that nobody has taken notice of still lives.
    """
    deadline = time.monotonic() + timeout_s
    while not (is_true := condition()) and time.monotonic() < deadline:
        while _reap():
            pass
        time.sleep(_POLL_S)
    return is_true


def _reap() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] > 0
    except ChildProcessError:
        return False


def kill(processes: Iterable[Process]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _kill_descendants(but: set[Process]) -> None:
    """Those too that appear meanwhile."""
    while left := find_descendants(os.getpid()) - but:
        kill(left)
        time.sleep(_POLL_S)
