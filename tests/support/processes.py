"""Which processes a test has started, directly or not, and that none of them outlives it. Reads Linux' /proc."""

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_GRACE_S: Final = 5.0
_POLL_S: Final = 0.02


@dataclass(frozen=True)
class Process:
    """A process that has not ended.

    Attributes:
        started: in ticks since the machine started; together with `pid` it never occurs again.
    """

    pid: int
    parent: int
    session: int
    started: int

    @property
    def command(self) -> str:
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return "(ended)"


def list_processes() -> list[Process]:
    """All of this machine. One that has ended and waits for its parent to notice is none."""
    return [found for folder in Path("/proc").glob("[0-9]*") if (found := _read(folder))]


def _read(folder: Path) -> Process | None:
    try:
        # The command's name, in parentheses, may hold spaces and parentheses.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    return Process(int(folder.name), parent=int(fields[1]), session=int(fields[3]), started=int(fields[19]))


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
        _kill(before)
        raise
    left = _kill(before) if _still_lives(before) else []
    assert not left, f"still alive: {left}"


def _still_lives(before: set[Process]) -> bool:
    """Helpers that end when a pipe closes may need a moment."""
    deadline = time.monotonic() + _GRACE_S
    while alive := bool(find_descendants(os.getpid()) - before):
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_S)
    return alive


def _kill(but: set[Process]) -> list[str]:
    """Kills all descendants of this process, those too that appear meanwhile; returns their commands."""
    killed = []
    while left := find_descendants(os.getpid()) - but:
        for process in left:
            killed.append(process.command)
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(_POLL_S)
    return killed
