"""What a source of raw tables is. What it fetches is kept as it came, and streamed from there."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from athanor.data.sources.batches import Batches


@dataclass(frozen=True)
class Opened:
    """A kept raw table, opened for streaming.

    Attributes:
        size: how much there is, in the units that `batches` counts: bytes of text, rows of Parquet. Where compression
            does not tell the length of a text, the compressed bytes.
        batches: at least one, each with how much of `size` it was; all have the same columns and types.
    """

    size: int
    batches: Batches


class Source(Protocol):
    """Where one raw table comes from."""

    def fetch(self, folder: Path, since: datetime | None) -> None:
        """Writes the raw input, as it comes, into an empty folder.

        Args:
            since: event time, UTC, from which on rows are wanted; None for all. Only incremental sources look at it.

        Raises:
            NotFoundError: there is no such input.
            DataError: it cannot be read.
            SettingsError: what the source says of itself cannot be.
        """

    def open(self, folder: Path, batch_rows: int) -> Opened:
        """Streams what `fetch` wrote, in batches of `batch_rows` rows but for the last; few are in memory at once.

        Raises:
            DataError: it is not what the source says of it; here or as batches are taken.
        """

    @property
    def is_incremental(self) -> bool:
        """Whether `fetch` gives later rows only."""
