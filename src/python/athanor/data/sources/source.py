"""The interface of a source of raw tables: fetch the input once, unmodified, then stream tables from it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from athanor.data.sources.batches import Batches


@dataclass(frozen=True)
class Opened:
    """A stored raw table, opened for streaming.

    Attributes:
        size: the total, in the unit that `batches` counts: bytes of text or rows of Parquet. For compressed text of
            unknown length, compressed bytes.
        batches: at least one table, each with its share of `size`; all have the same columns and types.
    """

    size: int
    batches: Batches


class Source(Protocol):
    """Where one raw table comes from.

    Any class with these methods is a source; `DelimitedFiles`, `ParquetFiles`, `SqlQuery` and `FunctionSource` are.
    """

    def fetch(self, folder: Path, since: datetime | None) -> None:
        """Writes the input, unmodified, into an empty folder.

        Args:
            since: event time, UTC, of the first rows to fetch; None for all. Only incremental sources use it.

        Raises:
            NotFoundError: the input does not exist.
            DataError: it cannot be read.
            SettingsError: the source's settings are not valid.
        """

    def open(self, folder: Path, batch_rows: int) -> Opened:
        """Streams what `fetch` wrote in batches of `batch_rows` rows, except the last; holds few in memory at once.

        Raises:
            DataError: the input does not match the source's declaration; here or while batches are consumed.
        """

    @property
    def is_incremental(self) -> bool:
        """Whether `fetch` uses `since` to return later rows only."""
