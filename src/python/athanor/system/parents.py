"""Children that do not outlive their parent, however it ends."""

import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent(parent: int) -> None:
    """Lets the kernel kill this process when its parent ends, and ends it now if that has happened.

    Args:
        parent: process ID. A parent that was killed cannot end its children, and these may hold all its memory.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
