"""Entries that wait for the prediction log's writer, bounded by the rows and bytes of all that is not yet in a file.

All models of a replica share one bound. A model may hold as much as it leaves free: one flooded model at most half, two
a third each, so that the others have room. The only model of a service may hold everything.
"""

import threading
from dataclasses import dataclass
from typing import Final

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.serving.answering.memory import measure_retained, owner_of
from athanor.serving.telemetry.predictions.rows import Entry

# What an entry takes beside its arrays, about.
_ENTRY_BYTES: Final = 500
# What a row gets in a record batch beside the contract's columns, at most: ids of up to 128 characters and numbers.
_METADATA_BYTES: Final = 300
# As arrays and, while they are converted, as record batches, which are no larger.
_COPIES: Final = 2
# Writing starts well before there is no room for more.
_EARLY_SHARE: Final = 0.25


@dataclass(frozen=True)
class Limits:
    """How much is in memory, and for how long.

    Attributes:
        rows, bytes: maximum in memory, from the request until the rows are in a file.
        flush_rows, flush_s: so many rows, or so many seconds, make a file.
    """

    rows: int = 200_000
    bytes: int = 128 * 1024 * 1024
    flush_rows: int = 50_000
    flush_s: float = 30.0

    def should_write(self, rows: int, size: int) -> bool:
        """Whether so much is written now rather than later."""
        return rows >= self.flush_rows or rows >= _EARLY_SHARE * self.rows or size >= _EARLY_SHARE * self.bytes


@dataclass
class Counts:
    """Rows of a model since the process started.

    Attributes:
        written: in files.
        refused: in no file, since the queue had no room or was closed.
        failed: in no file, since writing failed.
    """

    written: int = 0
    refused: int = 0
    failed: int = 0

    @property
    def dropped(self) -> dict[str, int]:
        """Rows in no file, by reason."""
        return {"queue": self.refused, "failed": self.failed}


class SharedMemory:
    """What the queues of all models hold together.

    Attributes:
        rows, bytes: in memory.
        waiting_rows, waiting_bytes: of these, not taken out yet.
    """

    def __init__(self, limits: Limits) -> None:
        self.rows = self.bytes = self.waiting_rows = self.waiting_bytes = 0
        self.lock = threading.Lock()
        self._limits = limits
        self._queues = 0

    def join(self) -> None:
        """Counts a queue more among those that share."""
        with self.lock:
            self._queues += 1

    def leave(self) -> None:
        """Counts a queue less. To be called within the lock, as the methods below."""
        self._queues -= 1

    def has_room(self, held_rows: int, held_bytes: int, rows: int, size: int) -> bool:
        """Whether a queue that holds so much may hold so much more."""
        if self._queues == 1:
            held_rows = held_bytes = 0
        limits = self._limits
        return held_rows + rows <= limits.rows - self.rows and held_bytes + size <= limits.bytes - self.bytes

    @property
    def should_write(self) -> bool:
        return self._limits.should_write(self.waiting_rows, self.waiting_bytes)


class EntryQueue:
    """A model's queue, which refuses what there is no room for.

    An entry counts with all that it keeps alive: a few rows of a batch keep the arrays of the whole batch. Arrays that
    several entries share count once.

    Attributes:
        rows, bytes: in memory. What was taken out counts until it is released.
    """

    def __init__(self, contract: Contract, shared: SharedMemory, counts: Counts) -> None:
        self.rows = self.bytes = 0
        self._shared = shared
        self._counts = counts
        self._contract = contract
        self._is_closed = False
        self._waiting: list[Entry] = []
        self._waiting_rows = self._waiting_bytes = 0
        # Identities of arrays of entries that wait: those live, so that no other object has the same.
        self._counted: set[int] = set()
        shared.join()

    def follow(self, contract: Contract) -> None:
        """Takes entries of a newer contract from now on."""
        self._contract = contract

    def put(self, entry: Entry) -> bool:
        """Add an entry. Returns False if there is no room for it; it is counted then, and nothing of it is held."""
        shared, rows = self._shared, entry.rows
        with shared.lock:
            size = self._measure(entry)
            if self._is_closed or not shared.has_room(self.rows, self.bytes, rows, size):
                self._counts.refused += rows
                return False
            self._counted.update((id(entry.columns), _identify(entry.answers)))
            self._waiting.append(entry)
            self._count(rows, size, rows, size)
            return True

    def take(self) -> tuple[list[Entry], int]:
        """Remove all entries. Returns them and their bytes, which the caller releases once it no longer holds them."""
        with self._shared.lock:
            entries, self._waiting = self._waiting, []
            size = self._waiting_bytes
            self._count(0, 0, -self._waiting_rows, -size)
            self._counted.clear()
            return entries, size

    def release(self, rows: int, size: int) -> None:
        """Count rows and bytes no longer; negative numbers count more."""
        with self._shared.lock:
            self._count(-rows, -size, 0, 0)

    def close(self) -> None:
        """Refuse all entries from now on. A second call does nothing."""
        with self._shared.lock:
            if not self._is_closed:
                self._is_closed = True
                self._shared.leave()

    def _count(self, rows: int, size: int, waiting_rows: int, waiting_bytes: int) -> None:
        shared = self._shared
        self.rows += rows
        self.bytes += size
        shared.rows += rows
        shared.bytes += size
        self._waiting_rows += waiting_rows
        self._waiting_bytes += waiting_bytes
        shared.waiting_rows += waiting_rows
        shared.waiting_bytes += waiting_bytes

    def _measure(self, entry: Entry) -> int:
        """Bytes that an entry keeps alive beside those counted already, and will need for its record batches."""
        kept, batch_rows = 0, len(next(iter(entry.columns.values())))
        if id(entry.columns) not in self._counted:
            kept += measure_retained(self._contract.columns, entry.columns, batch_rows)
        if _identify(entry.answers) not in self._counted:
            kept += measure_retained(self._contract.answer, entry.answers, batch_rows)
        return _ENTRY_BYTES + _METADATA_BYTES * entry.rows + _COPIES * kept


def _identify(answers: Columns) -> int:
    """The same for all answers of one run of a graph."""
    return id(owner_of(next(iter(answers.values()))))
