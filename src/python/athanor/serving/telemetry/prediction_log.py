"""The prediction log: rows with their predictions, appended to Parquet files in the background.

A request never waits for it. Rows that it has no room for, or cannot write, are dropped and counted.
"""

import errno
import logging
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Final

from arro3.core import RecordBatch, RecordBatchReader, Schema
from arro3.io import write_parquet

from athanor.contract.contract import Contract
from athanor.errors import SettingsError
from athanor.serving.telemetry.prediction_queue import EntryQueue, Limits
from athanor.serving.telemetry.prediction_rows import Entry, EntryShape
from athanor.system.atomic import open_temporary_file, remove_abandoned

_ABANDONED_S: Final = 3_600.0
_ROW_GROUP: Final = 50_000
# Maximum share of one processor's time that writing takes from the threads that answer.
_MAX_SHARE: Final = 0.1
# As arrays of single requests, rows take ten times the memory that they take in record batches.
_GATHER_S: Final = 1.0
# Errors of a disk that accepted writes before. Any other error is a mistake in the settings.
_FAILING_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)

_logger = logging.getLogger(__name__)


class PredictionLog:
    """Appends to `<folder>/<model>/date=YYYY-MM-DD/<replica>-<sequence>.parquet`.

    Attributes:
        written: rows in files.
    """

    def __init__(self, folder: Path, contract: Contract, limits: Limits | None = None) -> None:
        """Raises SettingsError if the folder cannot be written, or a column has a name of the log's own."""
        self.written = 0
        self._failed = 0
        self._folder = _prepare(folder / contract.name)
        self._shape = EntryShape(contract)
        self._limits = limits or Limits()
        self._queue = EntryQueue(contract, self._limits)
        # Unique for each start of a replica: no file is ever overwritten.
        self._replica = secrets.token_hex(8)
        self._sequence = 0
        self._failing = False
        # For the thread below alone: record batches by day and shape, and their totals.
        self._held: list[tuple[str, EntryShape, RecordBatch]] = []
        self._held_rows = self._held_bytes = 0
        self._held_since = 0.0
        self._worked_until = 0.0
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> dict[str, int]:
        """Rows in no file, by reason: the "queue" had no room or was closed, or writing "failed"."""
        return {"queue": self._queue.dropped, "failed": self._failed}

    def follow(self, contract: Contract) -> None:
        """Writes rows of a newer contract from now on, into files of their own."""
        try:
            self._shape = EntryShape(contract)
        except SettingsError as error:
            _logger.error("the prediction log leaves new columns out: %s", error)
        self._queue.follow(contract)

    def append(self, entry: Entry) -> None:
        """Take the rows of a request, or drop them. Returns at once."""
        self._queue.put(entry)
        if self._queue.should_write:
            self._wake.set()

    def close(self) -> None:
        """Write what is in memory, and take no more."""
        self._queue.close()
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closing:
            self._wake.wait(min(_GATHER_S, self._limits.flush_s))
            self._wake.clear()
            self._gather()
            if self._is_due():
                self._flush()
        self._gather()
        self._flush()

    def _gather(self) -> None:
        """Convert the entries that wait to record batches."""
        entries, size = self._queue.take()
        if entries and not self._held:
            self._held_since = time.monotonic()
        # By day as they came: a clock that is set back makes one file more, not a wrong one.
        for day, found in groupby(entries, lambda entry: _day(entry.at_ns)):
            of_day, shape = list(found), self._shape
            with self._counting_failure(sum(entry.rows for entry in of_day)):
                self._hold(day, shape, list(_pause_between(shape.batches(of_day), self._pause)))
        self._queue.release(0, size)

    def _hold(self, day: str, shape: EntryShape, batches: Sequence[RecordBatch]) -> None:
        size = sum(batch.nbytes for batch in batches)
        self._held += [(day, shape, batch) for batch in batches]
        self._held_rows += sum(batch.num_rows for batch in batches)
        self._held_bytes += size
        self._queue.release(0, -size)

    def _is_due(self) -> bool:
        is_old = time.monotonic() - self._held_since >= self._limits.flush_s
        return bool(self._held) and (is_old or self._limits.should_write(self._held_rows, self._held_bytes))

    def _flush(self) -> None:
        """Write the batches, a file for each day and shape."""
        for (day, shape), found in groupby(self._held, lambda each: each[:2]):
            batches = [batch for *_, batch in found]
            rows = sum(batch.num_rows for batch in batches)
            with self._counting_failure(rows):
                self._sequence += 1
                path = self._folder / f"date={day}" / f"{self._replica}-{self._sequence:06d}.parquet"
                _write_file(path, shape.schema, batches, self._pause)
                self.written += rows
                self._queue.release(rows, 0)
                if self._failing:
                    _logger.warning("the prediction log can be written again")
                self._failing = False
        self._held = []
        self._queue.release(0, self._held_bytes)
        self._held_rows = self._held_bytes = 0

    @contextmanager
    def _counting_failure(self, rows: int) -> Iterator[None]:
        """Count rows as dropped if the block fails. The thread goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a full disk, a lost folder, a library
            self._failed += rows
            self._queue.release(rows, 0)
            if not self._failing:
                _logger.error("the prediction log drops rows: cannot write to %s: %s", self._folder, error)
            self._failing = True

    def _pause(self) -> None:
        """Sleep until writing is back at its share of the time."""
        now = time.thread_time()
        worked, self._worked_until = now - self._worked_until, now
        time.sleep(0 if self._closing else worked * (1 / _MAX_SHARE - 1))


def _day(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).date().isoformat()


def _prepare(folder: Path) -> Path:
    if "://" in str(folder) or ":/" in str(folder):
        raise SettingsError(f"prediction_log is {str(folder.parent)!r}; give a folder on this machine")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for each in (folder, *folder.iterdir()):
            if each.is_dir():
                remove_abandoned(each, _ABANDONED_S)
    except OSError as error:
        if error.errno in _FAILING_DISK:
            # A replica that starts again answers all the same, as one that runs.
            return folder
        raise SettingsError(f"prediction_log: cannot write to {folder}: {error}; choose another folder") from None
    return folder


def _write_file(path: Path, schema: Schema, batches: Iterable[RecordBatch], pause: Callable[[], None]) -> None:
    """Write a file that a reader sees whole or not at all.

    Args:
        pause: called between parts of the work.
    """
    with open_temporary_file(path.parent) as file:
        arriving = Path(file.name)
        try:
            reader = RecordBatchReader.from_batches(schema, _pause_between(batches, pause))
            write_parquet(reader, _PausingFile(file, pause), compression="snappy", max_row_group_size=_ROW_GROUP)  # type: ignore[arg-type]
            file.flush()
            arriving.replace(path)
        except BaseException:
            arriving.unlink(missing_ok=True)
            raise


def _pause_between(batches: Iterable[RecordBatch], pause: Callable[[], None]) -> Iterator[RecordBatch]:
    for batch in batches:
        pause()
        yield batch


class _PausingFile:
    """A file that lets other threads run between writes."""

    def __init__(self, file: BinaryIO, pause: Callable[[], None]) -> None:
        self._file = file
        self._pause = pause

    def write(self, content: bytes) -> int:
        self._pause()
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)
