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

from athanor.contract.columns import Role
from athanor.contract.contract import Contract
from athanor.data.snapshots.digest import ContentDigest, event_days, in_order
from athanor.data.tables.keys import equals_neighbour, hash_keys, is_among, key_names, repeated_keys
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
        first, last: event times of its first and last row.
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
        trues: rows with a true label.
        largest_gap: longest period of event time without a row, and its start.
        last_time: the latest event time.
        samples: about ten thousand evenly spaced rows.
        read: rows added in source order.
        read_range: earliest and latest event time of the read rows, None if there are no such rows.
        disordered: number of read rows that come after a row with a later event time.
        repeated: rows that share their key with another row; the files do not contain them.
        is_committed: whether the files are part of a snapshot.
    """

    contract: Contract
    digest: str = ""
    files: list[StagedFile] = field(default_factory=list)
    missing: Counter[str] = field(default_factory=Counter)
    trues: int = 0
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
        return (self.files[0].first, self.files[-1].last) if self.files else None

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
        # If the event time is part of the key, equal keys fall into the same day and need no separate grouping.
        self._keys = None if Role.KEY in contract.event_time.roles else Partitions(folder.parent, memory_bytes // 4)
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
        self._rows.add(table, event_days(self._contract, table))
        if self._keys is not None:
            keys = table.select(key_names(self._contract))
            self._keys.add(keys, hash_keys(keys, _KEY_GROUPS))

    def _look_at_times(self, table: pa.Table) -> None:
        if not table.num_rows:
            return
        times = table[self._contract.event_time.name].to_numpy()
        latest = np.fmax.accumulate(np.append(self._latest, times))
        self._disordered += int((times < latest[:-1]).sum())
        self._latest = latest[-1]
        self._earliest = np.fmin(self._earliest, times.min())

    def stage(self, advance: Advance) -> Staged:
        """Writes all rows except those that share their key with another; calls `advance` with the rows processed."""
        make_folder(self._folder)
        read_range = (self._earliest, self._latest) if self._read else None
        staged = Staged(self._contract, read=self._read, read_range=read_range, disordered=self._disordered)
        stride = max(self.rows // _SAMPLE_ROWS, 1)
        digest = ContentDigest(self._contract)
        writer = _Writer(self._folder, arrow_schema(self._contract.dataset_columns))
        repeated = self._find_repeated()
        try:
            for table in self._rows.read(_CHUNK_ROWS):
                chunk = _drop_repeated(self._contract, in_order(self._contract, table), repeated, staged)
                sampled = np.arange(-writer.rows % stride, chunk.num_rows, stride)
                # Both release the GIL and take about the same time.
                with ThreadPoolExecutor(max_workers=1) as other:
                    written = other.submit(writer.write, chunk, self._contract.event_time.name)
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
        """Keys of more than one row, or None if the event time is part of the key."""
        if self._keys is None:
            return None
        found = [repeated_keys(group) for group in self._keys.read(_CHUNK_ROWS)]
        return pa.concat_tables(found) if found else arrow_schema(self._contract.key).empty_table()


def _drop_repeated(contract: Contract, table: pa.Table, repeated: pa.Table | None, staged: Staged) -> pa.Table:
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
    staged.trues += int(pc.sum(table[staged.contract.label.name]).as_py() or 0)
    times = table[staged.contract.event_time.name].to_numpy()
    gaps = np.diff(times, prepend=times[0] if np.isnat(staged.last_time) else staged.last_time)
    at = int(np.argmax(gaps))
    staged.largest_gap = max(staged.largest_gap, (gaps[at], times[at] - gaps[at]), key=lambda gap: gap[0])
    staged.last_time = times[-1]


class _Writer:
    """Parquet files of about two million rows each."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder = folder
        self._schema = schema
        self._files: list[StagedFile] = []
        self._open: pq.ParquetWriter | None = None

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self._files)

    def write(self, table: pa.Table, event_time: str) -> None:
        if not table.num_rows:
            return
        times = table[event_time]
        first, last = (np.datetime64(times[row].value, "us") for row in (0, table.num_rows - 1))
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
