"""Leftovers of a process that is killed in the middle of its work."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any


def kill_at_every_moment(work: Callable[[], None], below: Path) -> Iterator[int]:
    """Does the work in a process that is killed before its first touch of a file below a folder, then its second.

    And so on: the caller looks at what each left and restores what was before, until one does all its work.
    """
    for moment in count(1):
        process = multiprocessing.get_context("fork").Process(target=_work_until, args=(work, str(below), moment))
        process.start()
        process.join()
        if process.exitcode == 0:
            return
        assert process.exitcode == -signal.SIGKILL
        yield moment


def _work_until(work: Callable[[], None], below: str, moment: int) -> None:
    touched = 0

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal touched
        # What is removed with all that is below it is named relative to its folder.
        is_below = event == "os.remove" or (bool(arguments) and str(arguments[0]).startswith(below))
        if event.startswith(("open", "os.", "shutil.")) and is_below:
            touched += 1
            if touched == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    work()
