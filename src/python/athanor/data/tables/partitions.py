"""Rows grouped by an integer, read in its order and in bounded memory: rows that do not fit spill to disk.

The first pass of an external bucket sort (Knuth 1998, "The Art of Computer Programming", volume 3, 5.4): writes sorted
runs to disk, and reads one group after the other from all of them.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from athanor.system.atomic import make_temporary_folder, remove_abandoned
from athanor.system.named_errors import naming

_ABANDONED_S = 86_400.0
_COMPRESSION = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class _Run:
    """A spill file of record batches, each with the rows of one group.

    Attributes:
        groups: the group of each batch, ascending.
        rows: the number of rows of each batch.
    """

    path: Path
    groups: NDArray[np.int64]
    rows: NDArray[np.int64]


class Partitions:
    """Takes tables with a group number per row; returns the groups in order. Leaving the context deletes its files.

    Also removes files that killed processes left in the folder more than a day ago.

    Args:
        folder: where to spill; created when needed.
        memory_bytes: how much to hold before spilling.
    """

    def __init__(self, folder: Path, memory_bytes: int = 512 * 2**20) -> None:
        self._parent = folder
        self._folder: Path | None = None
        self._memory_bytes = memory_bytes
        self._held: list[tuple[pa.Table, NDArray[np.int64]]] = []
        self._held_bytes = 0
        self._runs: list[_Run] = []
        self.rows = 0

    def __enter__(self) -> "Partitions":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, table: pa.Table, groups: NDArray[np.int64]) -> None:
        """Adds rows; `groups` has one number for each."""
        if table.num_rows:
            self._held.append((table, groups))
            self._held_bytes += table.nbytes
            self.rows += table.num_rows
        if self._held_bytes > self._memory_bytes:
            self._write_run()

    def read(self, least_rows: int) -> Iterator[pa.Table]:
        """Whole groups in ascending order, in tables of at least `least_rows` rows; unordered within a group."""
        if not self._runs:
            yield from self._read_held(least_rows)
            return
        if self._held:
            self._write_run()
        yield from self._read_runs(least_rows)

    def _take_held(self) -> tuple[pa.Table, NDArray[np.int64]]:
        """Takes everything held in memory, sorted by group."""
        table = pa.concat_tables([table for table, _ in self._held])
        groups = np.concatenate([groups for _, groups in self._held])
        self._held, self._held_bytes = [], 0
        if np.all(groups[1:] >= groups[:-1]):
            return table, groups
        order = np.argsort(groups, kind="stable")
        return table.take(pa.array(order)), groups[order]

    def _read_held(self, least_rows: int) -> Iterator[pa.Table]:
        if self.rows <= least_rows:
            if self._held:
                yield pa.concat_tables([table for table, _ in self._held])
            return
        table, groups = self._take_held()
        ends = _ends(groups)
        start = 0
        for end in _cut(ends, least_rows):
            yield table.slice(start, end - start)
            start = end

    def _write_run(self) -> None:
        table, groups = self._take_held()
        if self._folder is None:
            remove_abandoned(self._parent, _ABANDONED_S)
            self._folder = make_temporary_folder(self._parent)
        path = self._folder / f"{len(self._runs):06}.arrow"
        ends = _ends(groups)
        rows = np.diff(ends, prepend=0)
        table = table.combine_chunks()
        with (
            naming(path),
            pa.OSFile(str(path), "wb") as file,
            pa.ipc.new_file(file, table.schema, options=_COMPRESSION) as writer,
        ):
            for end, count in zip(ends.tolist(), rows.tolist(), strict=True):
                writer.write_table(table.slice(end - count, count))
        self._runs.append(_Run(path, groups[ends - 1], rows))

    def _read_runs(self, least_rows: int) -> Iterator[pa.Table]:
        groups, inverse = np.unique(np.concatenate([run.groups for run in self._runs]), return_inverse=True)
        rows = np.bincount(inverse, weights=np.concatenate([run.rows for run in self._runs])).astype(np.int64)
        at = [0] * len(self._runs)
        for last in _cut(np.cumsum(rows), least_rows, positions=True):
            batches: list[Any] = []
            for index, run in enumerate(self._runs):
                end = int(np.searchsorted(run.groups, groups[last], side="right"))
                batches += _read_batches(run, at[index], end)
                at[index] = end
            yield pa.Table.from_batches(batches)


def _read_batches(run: _Run, start: int, end: int) -> list[Any]:
    # Reopened each time: there may be more runs than a process can have open files.
    if start == end:
        return []
    with pa.OSFile(str(run.path), "rb") as file:
        reader = pa.ipc.open_file(file)
        return [reader.get_batch(batch) for batch in range(start, end)]


def _ends(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The exclusive end of each run of equal numbers."""
    return np.append(np.flatnonzero(groups[1:] != groups[:-1]) + 1, len(groups)).astype(np.int64)


def _cut(ends: NDArray[np.int64], least_rows: int, positions: bool = False) -> Iterator[int]:
    """Those of the ascending `ends` at least `least_rows` apart, and the last; or their positions."""
    start = 0
    last = len(ends) - 1
    for position, end in enumerate(ends.tolist()):
        if end - start >= least_rows or position == last:
            yield position if positions else end
            start = end
