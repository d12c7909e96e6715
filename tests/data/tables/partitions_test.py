"""Rows by group, in order, whatever fits into memory."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import SLOW_PROPERTY

from athanor.data.tables.partitions import Partitions


def _table(groups: list[int], first: int) -> pa.Table:
    """Rows that carry their group, and a number of their own."""
    return pa.table({"group": pa.array(groups, pa.int64()), "row": np.arange(first, first + len(groups))})


@SLOW_PROPERTY
@given(
    st.lists(st.lists(st.integers(-5, 5), max_size=8), max_size=6), st.sampled_from([1, 200, 10**6]), st.integers(1, 9)
)
def test_every_row_is_read_once_in_group_order_with_each_group_in_one_table(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], memory_bytes: int, least_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("partitions")
    with Partitions(folder, memory_bytes) as partitions:
        rows = 0
        for groups in batches:
            partitions.add(_table(groups, rows), np.array(groups, dtype=np.int64))
            rows += len(groups)
        assert partitions.rows == rows
        tables = list(partitions.read(least_rows))
    assert list(folder.iterdir()) == []
    found = [table["group"].to_pylist() for table in tables]
    assert sorted(row for table in tables for row in table["row"].to_pylist()) == list(range(rows))
    for before, after in pairwise(found):
        assert max(before) < min(after)
    assert all(len(groups) >= least_rows for groups in found[:-1])
    expected = {row: group for group, row in zip((g for b in batches for g in b), range(rows), strict=True)}
    assert {r: g for t in tables for r, g in zip(t["row"].to_pylist(), t["group"].to_pylist(), strict=True)} == expected


def test_rows_that_fit_into_memory_do_not_spill(tmp_path: Path) -> None:
    with Partitions(tmp_path / "folder") as partitions:
        partitions.add(_table([2, 1], 0), np.array([2, 1]))
        assert [table["group"].to_pylist() for table in partitions.read(1)] == [[1], [2]]
    assert not (tmp_path / "folder").exists()


def test_spill_files_are_deleted_on_exit(tmp_path: Path) -> None:
    with Partitions(tmp_path / "folder", memory_bytes=1) as partitions:
        partitions.add(_table([2, 1], 0), np.array([2, 1]))
        assert [path.is_dir() for path in (tmp_path / "folder").iterdir()] == [True]
    assert list((tmp_path / "folder").iterdir()) == []


def test_an_error_takes_the_files_away_too(tmp_path: Path) -> None:
    def fail() -> None:
        with Partitions(tmp_path / "folder", memory_bytes=1) as partitions:
            partitions.add(_table([1], 0), np.array([1]))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list((tmp_path / "folder").iterdir()) == []
