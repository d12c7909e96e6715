"""Entries that wait for the prediction log's writer, bounded by the rows and bytes of all that is not yet in a file."""

import threading
from dataclasses import dataclass
from sys import getsizeof
from typing import Final

from athanor.contract.contract import Contract
from athanor.serving.answering.memory import RetainedBytes, owner_of
from athanor.serving.telemetry.prediction_rows import Entry

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


class EntryQueue:
    """A queue that refuses what there is no room for.

    An entry counts with all that it keeps alive: a few rows of a batch keep the arrays of the whole batch. Arrays that
    several entries share count once.

    Attributes:
        rows, bytes: in memory. What was taken out counts until it is released.
        dropped: rows that were refused.
    """

    def __init__(self, contract: Contract, limits: Limits) -> None:
        self.rows = self.bytes = self.dropped = 0
        self._limits = limits
        self._retained_bytes = RetainedBytes(contract)
        self._lock = threading.Lock()
        self._is_closed = False
        self._waiting: list[Entry] = []
        self._waiting_rows = self._waiting_bytes = 0
        # Identities of arrays of entries that wait: those live, so that no other object has the same.
        self._counted: set[int] = set()

    def follow(self, contract: Contract) -> None:
        """Takes entries of a newer contract from now on."""
        self._retained_bytes = RetainedBytes(contract)

    def put(self, entry: Entry) -> bool:
        """Add an entry. Returns False if there is no room for it, and then holds nothing of it."""
        with self._lock:
            size = self._measure(entry)
            has_room = self.rows + entry.rows <= self._limits.rows and self.bytes + size <= self._limits.bytes
            if self._is_closed or not has_room:
                self.dropped += entry.rows
                return False
            self._counted.update((id(entry.columns), id(owner_of(entry.probabilities))))
            self._waiting.append(entry)
            self._waiting_rows += entry.rows
            self._waiting_bytes += size
            self.rows += entry.rows
            self.bytes += size
            return True

    @property
    def should_write(self) -> bool:
        return self._limits.should_write(self._waiting_rows, self._waiting_bytes)

    def take(self) -> tuple[list[Entry], int]:
        """Remove all entries. Returns them and their bytes, which the caller releases once it no longer holds them."""
        with self._lock:
            entries, self._waiting = self._waiting, []
            size, self._waiting_rows, self._waiting_bytes = self._waiting_bytes, 0, 0
            self._counted.clear()
            return entries, size

    def release(self, rows: int, size: int) -> None:
        """Count rows and bytes no longer; negative numbers count more."""
        with self._lock:
            self.rows -= rows
            self.bytes -= size

    def close(self) -> None:
        """Refuse all entries from now on."""
        with self._lock:
            self._is_closed = True

    def _measure(self, entry: Entry) -> int:
        """Bytes that an entry keeps alive beside those counted already, and will need for its record batches."""
        kept = 0
        if id(entry.columns) not in self._counted:
            kept += self._retained_bytes(entry.columns)
        if id(owner := owner_of(entry.probabilities)) not in self._counted:
            kept += getsizeof(owner)
        return _ENTRY_BYTES + _METADATA_BYTES * entry.rows + _COPIES * kept
