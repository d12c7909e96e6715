"""What a service writes to standard output and error, as lines of its log.

Ray, libraries in C and the interpreter write there themselves. Where both lead to the log, as `up` has it, what they
write becomes records of JSON as well.
"""

import atexit
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Final

from athanor.serving.telemetry.logs import LogFile

_OUTPUT: Final = "output"
_STANDARD: Final = (1, 2)
_CHUNK_BYTES: Final = 65_536
# The process writes this last: once it is read, so is all the text before it. No line of text equals it.
_END: Final = b"\0the end\0\n"
_END_S: Final = 5.0


class _OutputLog(LogFile):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Drops lines that a full disk refuses. A report on standard error would come back here."""


def capture_output(log: Path) -> None:
    """Has the standard output and error of this process become records of the log, if they are that file.

    Lasts until the process ends. What is written together is one record.
    """
    if not _leads_to(log):
        return
    kept = os.dup(_STANDARD[-1])
    reading, writing = os.pipe()
    for number in _STANDARD:
        os.dup2(writing, number)
    os.close(writing)
    reader = threading.Thread(target=_record, args=(reading, _OutputLog(log)), name="output", daemon=True)
    reader.start()
    atexit.register(_finish, reader, kept)


def _leads_to(log: Path) -> bool:
    try:
        return all(os.path.samestat(os.fstat(number), log.stat()) for number in _STANDARD)
    except OSError:
        return False


def _finish(reader: threading.Thread, kept: int) -> None:
    """Waits until everything is in the log. Children may hold the pipe for longer."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.write(_STANDARD[-1], _END)
    reader.join(_END_S)
    for number in _STANDARD:
        os.dup2(kept, number)


def _record(reading: int, log: _OutputLog) -> None:
    waiting = b""
    while chunk := os.read(reading, _CHUNK_BYTES):
        text, end, waiting = (waiting + chunk).rpartition(b"\n")
        if len(waiting) > _CHUNK_BYTES:
            text, waiting = text + end + waiting, b""
        written, ended, _ = (text + end).partition(_END)
        if shown := written.decode(errors="replace").strip():
            log.handle(logging.LogRecord(_OUTPUT, logging.WARNING, "", 0, shown, None, None))
        if ended:
            return
