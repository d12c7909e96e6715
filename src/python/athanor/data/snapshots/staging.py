"""Stages the rows of a snapshot: sorts, summarizes, digests and writes them, in bounded memory.

Nothing here commits: the files are not part of the table until `snapshot.commit`.
"""

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from athanor.contract.contract import Contract
from athanor.data.snapshots.digest import ContentDigest
from athanor.data.snapshots.order import in_order, row_groups
from athanor.data.tables.keys import (
    equals_neighbour,
    equals_previous,
    hash_keys,
    is_among,
    key_names,
    repeated_keys,
)
from athanor.data.tables.partitions import Partitions
from athanor.data.tables.tables import arrow_schema, from_arrow
from athanor.progress import Advance
from athanor.system.durability import make_folder, sync
from athanor.system.named_errors import naming

# Large enough for vectorised work, small enough for memory.
_CHUNK_ROWS: Final = 500_000
_FILE_ROWS: Final = 2_000_000
_KEY_GROUPS: Final = 256
_SAMPLE_ROWS: Final = 10_000
_NO_GAP: Final = np.timedelta64(0, "us")
_NEVER: Final = np.datetime64("NaT", "us")


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file that is not part of a table yet.

    Attributes:
        first, last: event times of its first and last row; NaT without event times.
        nulls: missing values by column.
    """

    path: Path
    rows: int
    first: np.datetime64
    last: np.datetime64
    nulls: dict[str, int]


@dataclass
class Staged:
    """Staged rows of a snapshot. Implements `CommittedColumns`.

    Attributes:
        digest: the content digest.
        files: in sorted order of their rows.
        missing: missing values by column.
        labels: smallest and largest label, () without rows.
        equal_rows: rows that repeat the row above in all columns, counted only without a key; the files contain them.
        largest_gap: longest period of event time without a row, and its start; no period without event times.
        last_time: the latest event time; NaT without event times.
        samples: about ten thousand evenly spaced rows.
        read: rows added in source order.
        read_range: earliest and latest event time of the read rows, None if there are no such rows or no event times.
        disordered: number of read rows that come after a row with a later event time.
        repeated: rows that share their key with another row; the files do not contain them.
        is_committed: whether the files are part of a snapshot.
    """

    contract: Contract
    digest: str = ""
    files: list[StagedFile] = field(default_factory=list)
    missing: Counter[str] = field(default_factory=Counter)
    labels: tuple[Any, ...] = ()
    equal_rows: int = 0
    largest_gap: tuple[np.timedelta64, np.datetime64] = (_NO_GAP, _NEVER)
    last_time: np.datetime64 = _NEVER
    samples: list[pa.Table] = field(default_factory=list)
    read: int = 0
    read_range: tuple[np.datetime64, np.datetime64] | None = None
    disordered: int = 0
    repeated: list[pa.Table] = field(default_factory=list)
    is_committed: bool = False

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def sample(self) -> pa.Table:
        return pa.concat_tables([arrow_schema(self.contract.dataset_columns).empty_table(), *self.samples])

    @property
    def time_range(self) -> tuple[np.datetime64, np.datetime64] | None:
        """Event times of the first and the last row; None without rows or event times."""
        has_times = self.files and self.contract.event_time
        return (self.files[0].first, self.files[-1].last) if has_times else None

    def column(self, name: str) -> NDArray[Any]:
        column = self.contract.column(name)
        parts = [from_arrow([column], pq.read_table(file.path, columns=[name]))[name] for file in self.files]
        return np.concatenate(parts) if parts else np.empty(0, column.kind.dtype)

    def sync(self) -> None:
        """Flushes the files: no power failure takes them."""
        for path in (*(file.path for file in self.files), *{file.path.parent for file in self.files}):
            sync(path)

    def close(self) -> None:
        """Deletes the files, unless they are part of a snapshot."""
        if not self.is_committed:
            for file in self.files:
                file.path.unlink(missing_ok=True)


class Staging:
    """Collects rows, then stages them. Leaving the context deletes its temporary files.

    Args:
        folder: of the table; it will contain the staged files.
        memory_bytes: how much to hold before spilling to disk.
    """

    def __init__(self, contract: Contract, folder: Path, memory_bytes: int) -> None:
        self._contract = contract
        self._folder = folder
        self._rows = Partitions(folder.parent, memory_bytes)
        # An event time that is not part of the key spreads equal keys over several groups: they need one of their own.
        has_spread_keys = contract.key and contract.event_time and contract.event_time not in contract.key
        self._keys = Partitions(folder.parent, memory_bytes // 4) if has_spread_keys else None
        self._earliest: Any = _NEVER
        self._latest: Any = _NEVER
        self._disordered = 0
        self._read = 0

    def __enter__(self) -> "Staging":
        return self

    def __exit__(self, *error: Any) -> None:
        self._rows.__exit__(*error)
        if self._keys is not None:
            self._keys.__exit__(*error)

    @property
    def rows(self) -> int:
        return self._rows.rows

    def add(self, table: pa.Table) -> None:
        """Adds rows that were read, in source order."""
        self._look_at_times(table)
        self._read += table.num_rows
        self.carry(table)

    def carry(self, table: pa.Table) -> None:
        """Adds rows of an earlier snapshot, whose order has no meaning."""
        self._rows.add(table, row_groups(self._contract, table))
        if self._keys is not None:
            keys = table.select(key_names(self._contract))
            self._keys.add(keys, hash_keys(keys, _KEY_GROUPS))

    def _look_at_times(self, table: pa.Table) -> None:
        if not table.num_rows or self._contract.event_time is None:
            return
        times = table[self._contract.event_time.name].to_numpy()
        latest = np.fmax.accumulate(np.append(self._latest, times))
        self._disordered += int((times < latest[:-1]).sum())
        self._latest = latest[-1]
        self._earliest = np.fmin(self._earliest, times.min())

    def stage(self, advance: Advance) -> Staged:
        """Writes all rows except those that share their key with another; calls `advance` with the rows processed."""
        make_folder(self._folder)
        read_range = None if np.isnat(self._latest) else (self._earliest, self._latest)
        staged = Staged(self._contract, read=self._read, read_range=read_range, disordered=self._disordered)
        stride = max(self.rows // _SAMPLE_ROWS, 1)
        digest = ContentDigest(self._contract)
        writer = _Writer(self._folder, self._contract)
        repeated = self._find_repeated()
        try:
            for table in self._rows.read(_CHUNK_ROWS):
                chunk = _drop_repeated(self._contract, in_order(self._contract, table), repeated, staged)
                sampled = np.arange(-writer.rows % stride, chunk.num_rows, stride)
                # Both release the GIL and take about the same time.
                with ThreadPoolExecutor(max_workers=1) as other:
                    written = other.submit(writer.write, chunk)
                    digest.update(chunk)
                    _summarize(staged, chunk)
                    staged.samples.append(chunk.take(pa.array(sampled)))
                    written.result()
                advance(f"{writer.rows:,} rows", table.num_rows)
            staged.files += writer.close()
        except BaseException:
            writer.discard()
            raise
        staged.digest = digest.hexdigest()
        return staged

    def _find_repeated(self) -> pa.Table | None:
        """Keys of more than one row, or None if such rows are neighbours."""
        if self._keys is None:
            return None
        found = [repeated_keys(group) for group in self._keys.read(_CHUNK_ROWS)]
        return pa.concat_tables(found) if found else arrow_schema(self._contract.key).empty_table()


def _drop_repeated(contract: Contract, table: pa.Table, repeated: pa.Table | None, staged: Staged) -> pa.Table:
    if not contract.key:
        staged.equal_rows += int(equals_previous(table).sum())
        return table
    keys = table.select(key_names(contract))
    is_repeated = equals_neighbour(keys) if repeated is None else is_among(keys, repeated)
    if not is_repeated.any():
        return table
    staged.repeated.append(table.filter(pa.array(is_repeated)))
    return table.filter(pa.array(~is_repeated))


def _summarize(staged: Staged, table: pa.Table) -> None:
    """Updates the statistics of the whole dataset with a sorted chunk."""
    if not table.num_rows:
        return
    for column in staged.contract.dataset_columns:
        staged.missing[column.name] += table[column.name].null_count
    extremes = pc.min_max(table[staged.contract.label.name]).as_py().values()
    staged.labels = min(*staged.labels, *extremes), max(*staged.labels, *extremes)
    if staged.contract.event_time is not None:
        _summarize_times(staged, table[staged.contract.event_time.name].to_numpy())


def _summarize_times(staged: Staged, times: NDArray[Any]) -> None:
    gaps = np.diff(times, prepend=times[0] if np.isnat(staged.last_time) else staged.last_time)
    at = int(np.argmax(gaps))
    staged.largest_gap = max(staged.largest_gap, (gaps[at], times[at] - gaps[at]), key=lambda gap: gap[0])
    staged.last_time = times[-1]


class _Writer:
    """Parquet files of about two million rows each."""

    def __init__(self, folder: Path, contract: Contract) -> None:
        self._folder = folder
        self._schema = arrow_schema(contract.dataset_columns)
        self._event_time = contract.event_time
        self._files: list[StagedFile] = []
        self._open: pq.ParquetWriter | None = None

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self._files)

    def write(self, table: pa.Table) -> None:
        if not table.num_rows:
            return
        first, last = self._find_ends(table)
        nulls = {name: table[name].null_count for name in table.column_names}
        if self._open is None:
            path = self._folder / f"part-{uuid.uuid4()}.parquet"
            with naming(path):
                self._open = pq.ParquetWriter(path, self._schema, compression="zstd", compression_level=1)
            self._files.append(StagedFile(path, table.num_rows, first, last, nulls))
        else:
            file = self._files[-1]
            nulls = {name: count + file.nulls[name] for name, count in nulls.items()}
            self._files[-1] = StagedFile(file.path, file.rows + table.num_rows, file.first, last, nulls)
        with naming(self._files[-1].path):
            self._open.write_table(table)
        if self._files[-1].rows >= _FILE_ROWS:
            self._finish()

    def _find_ends(self, table: pa.Table) -> tuple[np.datetime64, np.datetime64]:
        if self._event_time is None:
            return _NEVER, _NEVER
        times = table[self._event_time.name]
        return np.datetime64(times[0].value, "us"), np.datetime64(times[-1].value, "us")

    def _finish(self) -> None:
        if self._open is not None:
            with naming(self._files[-1].path):
                self._open.close()
            self._open = None

    def close(self) -> Iterator[StagedFile]:
        self._finish()
        return iter(self._files)

    def discard(self) -> None:
        # A full disk fails the end of a file as well.
        with suppress(OSError):
            self._finish()
        for file in self._files:
            file.path.unlink(missing_ok=True)
