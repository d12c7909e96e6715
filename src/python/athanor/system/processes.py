"""Which process is meant: a process ID alone may belong to another process by now, even to another user's.

A process is known by its ID and the time it started, and by a lock that it holds for life with both in the lock's file.
"""

import math
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from athanor.system.locks import FileLock, acquire, is_held
from athanor.system.named_errors import naming

# Fields of /proc/PID/stat after the command's name, which may hold spaces and parentheses itself.
_STATE: Final = 0
_STARTED: Final = 19
_ENDED: Final = ("Z", "X")


@dataclass(frozen=True)
class ProcessId:
    """A process, as no other ever is.

    Attributes:
        started: clock ticks from the machine's start to the process's.
    """

    pid: int
    started: int

    @classmethod
    def here(cls) -> "ProcessId":
        """This process."""
        found = cls.find(os.getpid())
        if found is None:
            raise FileNotFoundError("/proc is not mounted here; it says when a process started")
        return found

    @classmethod
    def find(cls, pid: int) -> "ProcessId | None":
        """The live process of an ID. A process that ended and that its parent has not noticed yet is not alive."""
        try:
            fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[_STATE] in _ENDED else cls(pid, int(fields[_STARTED]))

    @classmethod
    def parse(cls, text: str) -> "ProcessId | None":
        """Reads what `str` writes; None for anything else."""
        pid, _, started = text.strip().partition(":")
        is_written = pid.isdecimal() and started.isdecimal()
        return cls(int(pid), int(started)) if is_written else None

    def __str__(self) -> str:
        return f"{self.pid}:{self.started}"

    def is_alive(self) -> bool:
        return ProcessId.find(self.pid) == self

    def send(self, number: signal.Signals) -> bool:
        """Sends a signal to this process and to no other. Returns whether it is alive to take it."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        except OSError:
            # Linux before 5.3, and some sandboxes.
            return self._send_by_number(number)
        try:
            # Opened first: whatever happens to the ID from here on, the descriptor stays with one process.
            if self.is_alive():
                signal.pidfd_send_signal(descriptor, number)
                return True
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)
        return False

    def _send_by_number(self, number: signal.Signals) -> bool:
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
                return True
        return False


def own(path: Path, timeout_s: float = math.inf) -> FileLock:
    """Takes a lock, and writes this process into its file. Raises TimeoutError as `acquire`."""
    lock = acquire(path, timeout_s=timeout_s)
    with naming(path):
        path.write_text(str(ProcessId.here()))
    return lock


def find_owner(path: Path) -> ProcessId | None:
    """The live process that owns a lock by `own`; None if no process holds the lock, or one that is just taking it."""
    if not is_held(path):
        return None
    try:
        owner = ProcessId.parse(path.read_text())
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return owner if owner is not None and owner.is_alive() else None
