"""Rejected rows with all their reasons: no row that was read is lost."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from athanor.data.checks.row_checks import REASONS
from athanor.system.atomic import open_temporary_file, remove_abandoned, rename_file
from athanor.system.named_errors import naming

_ABANDONED_S = 86_400.0


@dataclass(frozen=True)
class Quarantined:
    """The rows that one ingest rejected.

    Attributes:
        path: a Parquet file with the contract's original columns, the list column `_reasons` and the column `_where`.
            A value of the wrong type is null here; the raw input contains it. A row that could not be read has nulls
            only, and `_where` it stands in the raw input.
        raw, contract: digest prefixes of the raw input and the contract, as in the file name.
        reasons: number of rows by reason; a row with several reasons counts under each.
    """

    path: Path
    raw: str
    contract: str
    rows: int
    reasons: dict[str, int]


class Quarantine:
    """Collects the rejected rows of one ingest, batch by batch. Leaving the context without `keep` discards them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arriving: Path | None = None
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "Quarantine":
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self._close()
        finally:
            if self._arriving is not None:
                self._arriving.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._writer is not None:
            with naming(self._folder):
                self._writer.close()
            self._writer = None

    def add(self, rejected: pa.Table) -> None:
        """Adds rows with their `_reasons`."""
        if not rejected.num_rows:
            return
        if self._writer is None:
            remove_abandoned(self._folder, _ABANDONED_S)
            with open_temporary_file(self._folder) as file:
                self._arriving = Path(file.name)
            with naming(self._folder):
                self._writer = pq.ParquetWriter(self._arriving, rejected.schema, compression="zstd")
        with naming(self._folder):
            self._writer.write_table(rejected)

    def keep(self, raw: str, contract: str) -> Path | None:
        """Moves the file to the name of this raw input and contract, replacing that of an earlier ingest.

        Returns:
            The path; None if no row was rejected, and then no such file exists.
        """
        self._close()
        path = self._folder / f"{raw[:16]}-{contract[:16]}.parquet"
        if self._arriving is None:
            path.unlink(missing_ok=True)
            return None
        rename_file(self._arriving, path)
        return path


def list_quarantined(folder: Path) -> Iterator[Quarantined]:
    """The quarantined rows of every ingest of a dataset, oldest first."""
    for path in sorted(folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns):
        raw, _, contract = path.stem.partition("-")
        reasons = pq.read_table(path, columns=[REASONS])[REASONS]
        counts = pc.value_counts(pc.list_flatten(reasons)).to_pylist()
        by_reason = {entry["values"]: entry["counts"] for entry in counts}
        yield Quarantined(path, raw, contract, len(reasons), dict(sorted(by_reason.items())))
