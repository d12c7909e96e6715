"""The interface of a source of raw tables: fetch the input once, unmodified, then stream tables from it."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from athanor.data.sources.batches import Batches


@dataclass(frozen=True)
class Unfit:
    """Values of one column that its type cannot hold.

    Attributes:
        rows: of the file, from 1, ascending; at least one.
        values: as they stand there, of the same length.
    """

    column: str
    kind: pa.DataType
    rows: NDArray[np.int64]
    values: list[Any]


@dataclass(frozen=True)
class UnreadRows:
    """Rows of one file that are in no batch, because of a value that its column's type cannot hold."""

    file: str
    unfit: tuple[Unfit, ...]


@dataclass(frozen=True)
class Opened:
    """A stored raw table, opened for streaming.

    Attributes:
        size: the total, in the unit that `batches` counts: bytes of text or rows of Parquet. For compressed text of
            unknown length, compressed bytes.
        batches: at least one table, each with its share of `size`; all have the same columns and types.
        unread: rows that are in no batch; grows while `batches` is consumed. Who consumes it counts them.
    """

    size: int
    batches: Batches
    unread: deque[UnreadRows] = field(default_factory=deque)


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
