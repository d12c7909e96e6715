"""The part of the prediction log that is one model's."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from arro3.core import RecordBatch

from athanor.contract.contract import Contract
from athanor.errors import SettingsError
from athanor.serving.telemetry.predictions.files import pause_between, write_file
from athanor.serving.telemetry.predictions.queue import Counts, EntryQueue, SharedMemory
from athanor.serving.telemetry.predictions.rows import Entry, EntryShape

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Writer:
    """What the thread that writes offers to the logs of all models.

    Attributes:
        wake: makes it write now.
        pause: sleeps until writing is back at its share of the time.
        name_file: returns a name that no other file has.
    """

    wake: threading.Event
    pause: Callable[[], None]
    name_file: Callable[[], str]


class ModelLog:
    """Appends to `<folder>/date=YYYY-MM-DD/<replica>-<sequence>.parquet`.

    Any thread may call `append`, `follow` and `close`; the writer alone calls `gather` and `flush`.

    Attributes:
        is_closed: it takes no more rows.
        rows, bytes: of record batches that are in no file yet.
        since: when the oldest of them was gathered, in seconds of the monotonic clock.
    """

    def __init__(self, folder: Path, contract: Contract, memory: SharedMemory, counts: Counts, writer: Writer) -> None:
        """Raises SettingsError if a column has a name of the log's own."""
        self.is_closed = False
        self.rows = self.bytes = 0
        self.since = 0.0
        self._folder = folder
        self._shape = EntryShape(contract)
        self._memory = memory
        self._queue = EntryQueue(contract, memory, counts)
        self._counts = counts
        self._writer = writer
        # By day and shape.
        self._held: list[tuple[str, EntryShape, RecordBatch]] = []
        self._failing = False

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
        if self._memory.should_write:
            self._writer.wake.set()

    def close(self) -> None:
        """Take no more rows. The writer writes the rest soon."""
        self._queue.close()
        self.is_closed = True
        self._writer.wake.set()

    def gather(self) -> None:
        """Convert the entries that wait to record batches."""
        entries, size = self._queue.take()
        if entries and not self._held:
            self.since = time.monotonic()
        # By day as they came: a clock that is set back makes one file more, not a wrong one.
        for day, found in groupby(entries, lambda entry: _day(entry.at_ns)):
            of_day, shape = list(found), self._shape
            with self._counting_failure(sum(entry.rows for entry in of_day)):
                self._hold(day, shape, list(pause_between(shape.batches(of_day), self._writer.pause)))
        self._queue.release(0, size)

    def _hold(self, day: str, shape: EntryShape, batches: Sequence[RecordBatch]) -> None:
        size = sum(batch.nbytes for batch in batches)
        self._held += [(day, shape, batch) for batch in batches]
        self.rows += sum(batch.num_rows for batch in batches)
        self.bytes += size
        self._queue.release(0, -size)

    def flush(self) -> None:
        """Write the record batches, a file for each day and shape."""
        for (day, shape), found in groupby(self._held, lambda each: each[:2]):
            batches = [batch for *_, batch in found]
            rows = sum(batch.num_rows for batch in batches)
            with self._counting_failure(rows):
                path = self._folder / f"date={day}" / self._writer.name_file()
                write_file(path, shape.schema, batches, self._writer.pause)
                self._counts.written += rows
                self._queue.release(rows, 0)
                if self._failing:
                    _logger.warning("the prediction log can write to %s again", self._folder)
                self._failing = False
        self._held = []
        self._queue.release(0, self.bytes)
        self.rows = self.bytes = 0

    @contextmanager
    def _counting_failure(self, rows: int) -> Iterator[None]:
        """Count rows as dropped if the block fails. The writer goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a full disk, a lost folder, a library
            self._counts.failed += rows
            self._queue.release(rows, 0)
            if not self._failing:
                _logger.error("the prediction log drops rows: cannot write to %s: %s", self._folder, error)
            self._failing = True


def _day(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).date().isoformat()
