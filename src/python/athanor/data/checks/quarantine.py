"""Rows that were set aside, with all their reasons: nothing that came in is lost."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from athanor.data.checks.row_checks import REASONS
from athanor.system.atomic import remove_abandoned

_PREFIX = ".arriving-"
_ABANDONED_S = 86_400.0


@dataclass(frozen=True)
class Quarantined:
    """The rows that one ingest set aside.

    Attributes:
        path: a Parquet file with the contract's columns as they came and the list `_reasons`; what is not of its
            column's type is missing there, and in the raw input.
        raw, contract: digests of the raw input and the contract, as many digits as make the name.
        reasons: rows by reason; a row with several reasons counts under each.
    """

    path: Path
    raw: str
    contract: str
    rows: int
    reasons: dict[str, int]


class Quarantine:
    """Takes rejected rows of one ingest, batch by batch. Leaving the context without `keep` throws them away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arriving: Path | None = None
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "Quarantine":
        return self

    def __exit__(self, *error: Any) -> None:
        self._close()
        if self._arriving is not None:
            self._arriving.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def add(self, rejected: pa.Table) -> None:
        """Takes rows with their `_reasons`."""
        if not rejected.num_rows:
            return
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_abandoned(self._folder, _ABANDONED_S)
            with tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=self._folder, delete=False) as file:
                self._arriving = Path(file.name)
            self._writer = pq.ParquetWriter(self._arriving, rejected.schema, compression="zstd")
        self._writer.write_table(rejected)

    def keep(self, raw: str, contract: str) -> Path | None:
        """Puts the file in its place, that of this raw input under this contract.

        Returns:
            Where; None when no row was rejected, and then nothing is there either, whatever an earlier ingest rejected.
        """
        self._close()
        place = self._folder / f"{raw[:16]}-{contract[:16]}.parquet"
        if self._arriving is None:
            place.unlink(missing_ok=True)
            return None
        return self._arriving.replace(place)


def list_quarantined(folder: Path) -> Iterator[Quarantined]:
    """What every ingest of a dataset set aside, the oldest first."""
    for path in sorted(folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns):
        raw, _, contract = path.stem.partition("-")
        reasons = pq.read_table(path, columns=[REASONS])[REASONS]
        counts = pc.value_counts(pc.list_flatten(reasons)).to_pylist()
        by_reason = {entry["values"]: entry["counts"] for entry in counts}
        yield Quarantined(path, raw, contract, len(reasons), dict(sorted(by_reason.items())))
