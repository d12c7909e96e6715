"""The prediction log: rows with what was predicted for them, appended to Parquet files in the background.

Whoever answers never waits for it. What it cannot take in, or cannot write, is dropped and counted.
"""

import logging
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Final

from arro3.core import RecordBatch, RecordBatchReader, Schema
from arro3.io import write_parquet

from athanor.contract.contract import Contract
from athanor.errors import SettingsError
from athanor.serving.telemetry.prediction_rows import Entry, EntryShape
from athanor.system.atomic import open_temporary_file, remove_abandoned

_ABANDONED_S: Final = 3_600.0
_ROW_GROUP: Final = 50_000
# Most of a processor's time that writing takes from those who answer.
_MOST_SHARE: Final = 0.1
# What waits as the arrays of single requests takes ten times the memory that it takes in batches.
_GATHER_S: Final = 1.0
# Sooner, when so much of what may wait does.
_EARLY_SHARE: Final = 0.25
# Why rows are dropped.
_QUEUE: Final = "queue"
_FAILED: Final = "failed"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much is held, and for how long.

    Attributes:
        rows, bytes: most that wait to be gathered into batches, which is done every second.
        flush_rows, flush_s: so many rows, or so many seconds, make a file.
    """

    rows: int = 200_000
    bytes: int = 64 * 1024 * 1024
    flush_rows: int = 50_000
    flush_s: float = 30.0


class PredictionLog:
    """Appends to `<folder>/<model>/date=YYYY-MM-DD/<replica>-<sequence>.parquet`.

    Attributes:
        written: rows that lie in files.
        dropped: rows that do not, by reason: the "queue" was full, or writing "failed".
    """

    def __init__(self, folder: Path, contract: Contract, limits: Limits | None = None) -> None:
        """Raises SettingsError if nothing can be written there, or a column has a name of the log's own."""
        self.written = 0
        # With all keys from the start: another thread may read it at any time.
        self.dropped = dict.fromkeys((_QUEUE, _FAILED), 0)
        self._folder = _prepare(folder / contract.name)
        self._shape = EntryShape(contract)
        self._limits = limits or Limits()
        # A replica's name is used once: no file is ever written over.
        self._replica = secrets.token_hex(8)
        self._sequence = 0
        self._failing = False
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._rows = self._bytes = 0
        # Only the thread below looks at these.
        self._held: list[tuple[str, RecordBatch]] = []
        self._held_rows = self._held_bytes = 0
        self._held_since = 0.0
        self._closing = False
        self._worked_until = 0.0
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)
        self._thread.start()

    def append(self, entry: Entry) -> None:
        """Takes in the rows of a request, or drops them. Returns at once."""
        entry = self._shape.release_others(entry)
        size = self._shape.measure(entry)
        limits = self._limits
        with self._lock:
            if self._closing or self._rows + entry.rows > limits.rows or self._bytes + size > limits.bytes:
                self.dropped[_QUEUE] += entry.rows
                return
            self._rows += entry.rows
            self._bytes += size
            self._entries.append(entry)
            is_early = self._rows < min(limits.flush_rows, _EARLY_SHARE * limits.rows)
            if is_early and self._bytes < _EARLY_SHARE * limits.bytes:
                return
        self._wake.set()

    def close(self) -> None:
        """Writes what is held, and takes in no more."""
        with self._lock:
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
        """Makes batches of the entries that wait."""
        with self._lock:
            entries, self._entries = self._entries, []
            size, self._rows, self._bytes = self._bytes, 0, 0
        if entries and not self._held:
            self._held_since = time.monotonic()
        self._held_bytes += size
        # By day as they came: a clock that is set back makes one file more, not a wrong one.
        for day, found in groupby(entries, lambda entry: _day(entry.at_ns)):
            of_day = list(found)
            with self._failing_alone(sum(entry.rows for entry in of_day)):
                batches = list(_rest_between(self._shape.batches(of_day), self._rest))
                self._held += [(day, batch) for batch in batches]
                self._held_rows += sum(batch.num_rows for batch in batches)

    def _is_due(self) -> bool:
        if not self._held:
            return False
        limits = self._limits
        is_old = time.monotonic() - self._held_since >= limits.flush_s
        return is_old or self._held_rows >= limits.flush_rows or self._held_bytes >= limits.bytes

    def _flush(self) -> None:
        """Writes the batches, a file for each day."""
        held, self._held = self._held, []
        self._held_rows = self._held_bytes = 0
        for day, found in groupby(held, lambda each: each[0]):
            batches = [batch for _, batch in found]
            rows = sum(batch.num_rows for batch in batches)
            with self._failing_alone(rows):
                self._sequence += 1
                path = self._folder / f"date={day}" / f"{self._replica}-{self._sequence:06d}.parquet"
                _write_file(path, self._shape.schema, batches, self._rest)
                self.written += rows
                if self._failing:
                    _logger.warning("the prediction log is written again")
                self._failing = False

    @contextmanager
    def _failing_alone(self, rows: int) -> Iterator[None]:
        """Counts rows as dropped where what is done with them fails. The thread goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a full disk, a lost folder, a library
            self.dropped[_FAILED] += rows
            if not self._failing:
                _logger.error("the prediction log drops rows: %s cannot be written: %s", self._folder, error)
            self._failing = True

    def _rest(self) -> None:
        """Lets others work for as long as it keeps writing to its share of the time."""
        now = time.thread_time()
        worked, self._worked_until = now - self._worked_until, now
        time.sleep(0 if self._closing else worked * (1 / _MOST_SHARE - 1))


def _day(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).date().isoformat()


def _prepare(folder: Path) -> Path:
    if "://" in str(folder) or ":/" in str(folder):
        raise SettingsError(f"prediction_log is {str(folder.parent)!r}; give a folder of this machine")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for each in (folder, *folder.iterdir()):
            if each.is_dir():
                remove_abandoned(each, _ABANDONED_S)
    except OSError as error:
        raise SettingsError(f"prediction_log: {folder} cannot be written: {error}; choose another folder") from None
    return folder


def _write_file(path: Path, schema: Schema, batches: Iterable[RecordBatch], rest: Callable[[], None]) -> None:
    """Writes a file that a reader sees whole or not at all.

    Args:
        rest: called between parts of the work.
    """
    with open_temporary_file(path.parent) as file:
        arriving = Path(file.name)
        try:
            reader = RecordBatchReader.from_batches(schema, _rest_between(batches, rest))
            write_parquet(reader, _Polite(file, rest), compression="snappy", max_row_group_size=_ROW_GROUP)  # type: ignore[arg-type]
            file.flush()
            arriving.replace(path)
        except BaseException:
            arriving.unlink(missing_ok=True)
            raise


def _rest_between(batches: Iterable[RecordBatch], rest: Callable[[], None]) -> Iterator[RecordBatch]:
    for batch in batches:
        rest()
        yield batch


class _Polite:
    """A file in whose writing others get their turn."""

    def __init__(self, file: BinaryIO, rest: Callable[[], None]) -> None:
        self._file = file
        self._rest = rest

    def write(self, content: bytes) -> int:
        self._rest()
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
