"""Staging: the same rows, digest and statistics, whether they fit into memory or go over the disk."""

import os
import resource
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.flights import make_columns
from support.properties import SLOW_PROPERTY
from support.protos import Toy

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.messages import is_missing
from athanor.data.snapshots import staging as staging_module
from athanor.data.snapshots.digest import content_digest
from athanor.data.snapshots.order import in_order
from athanor.data.snapshots.staging import Staged, Staging
from athanor.data.tables.tables import to_arrow
from projects.delays.model import MODEL

_CONTRACT: Final = MODEL.contract
_TOY: Final = Toy().read()
_IN_MEMORY: Final = 2**30
# Of the second, each batch goes to disk by itself.
_MEMORIES: Final = (_IN_MEMORY, 1, 20_000)


def _repeated(staged: Staged) -> int:
    return sum(table.num_rows for table in staged.repeated)


def _unheard(words: str, amount: int = 1) -> None:
    pass


def _stage(contract: Contract, folder: Path, batches: Sequence[Columns], memory_bytes: int = _IN_MEMORY) -> Staged:
    with Staging(contract, folder / contract.name, memory_bytes) as staging:
        for batch in batches:
            staging.add(to_arrow(contract.dataset_columns, batch))
        return staging.stage(_unheard)


def _split(columns: Columns, order: NDArray[Any], parts: int) -> list[Columns]:
    """Batches that together are the rows in that order."""
    return [{name: values[rows] for name, values in columns.items()} for rows in np.array_split(order, parts)]


def _shuffled(columns: Columns, parts: int, seed: int = 0) -> list[Columns]:
    return _split(columns, np.random.default_rng(seed).permutation(len(columns["arrived_late"])), parts)


def _toys(ids: Sequence[int], minutes: Sequence[int]) -> Columns:
    """Rows with these keys at these times."""
    rows = len(ids)
    return {
        "at": np.array(minutes, dtype="M8[m]").astype("M8[us]"),
        "id": np.array(ids, dtype=np.float64),
        "amount": np.arange(rows).astype(np.float64),
        "count": np.full(rows, np.nan),
        "color": np.full(rows, "red", dtype=object),
        "code": np.full(rows, "", dtype=object),
        "is_new": np.zeros(rows),
        "won": np.ones(rows),
    }


def _read(staged: Staged) -> pa.Table:
    return pa.concat_tables([pq.read_table(file.path) for file in staged.files])


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("memory_bytes", _MEMORIES)
def test_rows_are_written_in_the_datasets_order_however_they_came(tmp_path: Path, memory_bytes: int) -> None:
    columns = make_columns(2_000)
    expected = to_arrow(_CONTRACT.dataset_columns, columns)
    staged = _stage(_CONTRACT, tmp_path, _shuffled(columns, 7), memory_bytes)
    assert staged.digest == content_digest(_CONTRACT, expected)
    assert _read(staged).equals(in_order(_CONTRACT, expected))
    for name, values in columns.items():
        np.testing.assert_array_equal(staged.column(name), values, err_msg=name)


@pytest.mark.parametrize("chunk_rows", [1, 100, 10_000])
@pytest.mark.parametrize("memory_bytes", _MEMORIES)
def test_memory_limit_and_chunk_size_do_not_change_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_bytes: int, chunk_rows: int
) -> None:
    batches = _shuffled(make_columns(1_000), 9)
    whole = _stage(_CONTRACT, tmp_path / "whole", batches)
    monkeypatch.setattr(staging_module, "_CHUNK_ROWS", chunk_rows)
    assert _facts(_stage(_CONTRACT, tmp_path / "parts", batches, memory_bytes)) == _facts(whole)


def _facts(staged: Staged) -> dict[str, Any]:
    """All that is known of staged rows but where they lie."""
    files = [(file.rows, file.first, file.last, file.nulls) for file in staged.files]
    facts = {name: value for name, value in vars(staged).items() if name not in ("files", "samples", "repeated")}
    return facts | {"files": files, "sample": staged.sample.to_pylist(), "repeated_rows": _repeated(staged)}


def test_statistics_match_the_rows(tmp_path: Path) -> None:
    columns = make_columns(500)
    times, labels = columns["scheduled_departure"], columns["arrived_late"]
    staged = _stage(_CONTRACT, tmp_path, _shuffled(columns, 3))
    missing = {column.name: int(is_missing(column, columns[column.name]).sum()) for column in _CONTRACT.dataset_columns}
    assert (staged.rows, staged.read, staged.labels) == (500, 500, (labels.min(), labels.max()))
    assert dict(staged.missing) == missing
    assert sum(missing.values()) > 0
    assert staged.time_range == (times[0], times[-1])
    assert staged.last_time == times[-1]
    (file,) = staged.files
    assert (file.rows, file.first, file.last, file.nulls) == (500, times[0], times[-1], missing)


@pytest.mark.parametrize("memory_bytes", _MEMORIES)
def test_rows_that_share_their_key_are_all_set_aside(tmp_path: Path, memory_bytes: int) -> None:
    """The time is part of the key; the second of them differs from the first in all else."""
    columns = make_columns(400)
    again = make_columns(400, seed=1)
    for name in ("carrier", "flight_number", "origin", "destination"):
        again[name] = columns[name]
    batches = [columns, *_split(again, np.array([5, 17, 399]), 3)]
    staged = _stage(_CONTRACT, tmp_path, batches, memory_bytes)
    kept = np.delete(np.arange(400), [5, 17, 399])
    assert (staged.rows, _repeated(staged), staged.read) == (397, 6, 403)
    assert staged.digest == _stage(_CONTRACT, tmp_path / "kept", _split(columns, kept, 1)).digest
    np.testing.assert_array_equal(staged.column("flight_number"), columns["flight_number"][kept])
    repeated = pa.concat_tables(staged.repeated)
    assert Counter(repeated["flight_number"].to_pylist()) == {6: 2, 18: 2, 400: 2}


@SLOW_PROPERTY
@given(
    st.lists(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5_000)), max_size=8), max_size=6),
    st.sampled_from(_MEMORIES),
    st.sampled_from([1, 5, 1_000]),
)
def test_keys_without_time_repeat_across_days_batches_and_runs(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, int]]], memory_bytes: int, chunk_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("staging")
    tables = [_toys([row[0] for row in batch], [row[1] for row in batch]) for batch in batches]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(staging_module, "_CHUNK_ROWS", chunk_rows)
        staged = _stage(_TOY, folder, tables, memory_bytes)
    counts = Counter(key for batch in batches for key, _ in batch)
    kept = [key for key, count in counts.items() if count == 1]
    found = staged.column("id").tolist()
    assert sorted(found) == sorted(kept)
    repeated = Counter(key for table in staged.repeated for key in table["id"].to_pylist())
    assert repeated == {key: count for key, count in counts.items() if count > 1}
    assert (staged.rows, _repeated(staged)) == (len(kept), counts.total() - len(kept))
    assert [path for path in folder.iterdir() if path.name != "toy"] == []


def test_files_are_cut_where_they_are_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging_module, "_FILE_ROWS", 300)
    monkeypatch.setattr(staging_module, "_CHUNK_ROWS", 100)
    columns = make_columns(1_000)
    staged = _stage(_CONTRACT, tmp_path, _shuffled(columns, 4))
    times = columns["scheduled_departure"]
    rows = [file.rows for file in staged.files]
    assert len(rows) == 3
    assert sum(rows) == staged.rows == 1_000
    # A chunk holds whole days, 39 rows at most, and goes whole into a file.
    assert all(300 <= count < 300 + 100 + 39 for count in rows[:-1])
    starts = np.cumsum([0, *rows[:-1]])
    assert [file.first for file in staged.files] == times[starts].tolist()
    assert [file.last for file in staged.files] == times[np.cumsum(rows) - 1].tolist()
    for file in staged.files:
        table = pq.read_table(file.path)
        assert table.num_rows == file.rows
        assert {name: table[name].null_count for name in table.column_names} == file.nulls
    assert staged.digest == content_digest(_CONTRACT, to_arrow(_CONTRACT.dataset_columns, columns))


def test_the_largest_gap_is_found_within_and_between_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between chunks too: each day is one."""
    monkeypatch.setattr(staging_module, "_CHUNK_ROWS", 1)
    day = 24 * 60
    minutes = [0, 10, 500, day + 3, day + 5, 9 * day, 9 * day + 1_000, 10 * day]
    staged = _stage(_TOY, tmp_path, [_toys(range(1, 9), minutes)])
    assert staged.largest_gap == (np.timedelta64(8 * day - 5, "m"), np.datetime64(day + 5, "m"))
    staged = _stage(_TOY, tmp_path, [_toys(range(1, 4), minutes[:3])])
    assert staged.largest_gap == (np.timedelta64(490, "m"), np.datetime64(10, "m"))


def test_rows_at_one_time_have_no_gap(tmp_path: Path) -> None:
    gap, _ = _stage(_TOY, tmp_path, [_toys([1, 2], [7, 7])]).largest_gap
    assert gap == np.timedelta64(0)


def test_a_gap_counts_without_the_rows_that_were_set_aside(tmp_path: Path) -> None:
    staged = _stage(_TOY, tmp_path, [_toys([1, 2, 2, 3], [0, 10, 20, 30])])
    assert staged.largest_gap == (np.timedelta64(30, "m"), np.datetime64(0, "m"))


@SLOW_PROPERTY
@given(st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=5))
def test_rows_are_out_of_order_where_one_before_them_is_later(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]]
) -> None:
    tables = [_toys(range(len(batch)), batch) for batch in batches]
    staged = _stage(_TOY, tmp_path_factory.mktemp("staging"), tables)
    times = [time for batch in batches for time in batch]
    assert staged.read == len(times)
    assert staged.disordered == sum(time < max(times[:row], default=time) for row, time in enumerate(times))
    read_range = (np.datetime64(min(times), "m"), np.datetime64(max(times), "m")) if times else None
    assert staged.read_range == read_range


def test_the_order_of_carried_rows_does_not_count_as_disorder(tmp_path: Path) -> None:
    with Staging(_TOY, tmp_path / "toy", _IN_MEMORY) as staging:
        staging.carry(to_arrow(_TOY.dataset_columns, _toys([1, 2], [50, 40])))
        staging.add(to_arrow(_TOY.dataset_columns, _toys([3, 4], [10, 20])))
        assert staging.rows == 4
        staged = staging.stage(_unheard)
    assert (staged.rows, staged.read, staged.disordered) == (4, 2, 0)
    assert staged.read_range == (np.datetime64(10, "m"), np.datetime64(20, "m"))
    assert staged.column("id").tolist() == [3, 4, 2, 1]


@pytest.mark.parametrize(("rows", "sampled"), [(90, 90), (100, 100), (199, 199), (200, 100), (2_099, 105)])
def test_samples_lie_evenly_over_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, sampled: int
) -> None:
    monkeypatch.setattr(staging_module, "_SAMPLE_ROWS", 100)
    monkeypatch.setattr(staging_module, "_CHUNK_ROWS", 50)
    columns = make_columns(rows)
    staged = _stage(_CONTRACT, tmp_path, _shuffled(columns, 3))
    expected = columns["scheduled_departure"][:: max(rows // 100, 1)]
    np.testing.assert_array_equal(staged.sample["scheduled_departure"].to_numpy(), expected)
    assert len(expected) == sampled


@pytest.mark.parametrize("memory_bytes", _MEMORIES)
def test_no_row_at_all_can_be_staged(tmp_path: Path, memory_bytes: int) -> None:
    for batches in ([], [_toys([], [])]):
        staged = _stage(_TOY, tmp_path, batches, memory_bytes)
        assert (staged.rows, staged.files, staged.time_range, staged.read_range) == (0, [], None, None)
        assert staged.sample.schema == to_arrow(_TOY.dataset_columns, _toys([], [])).schema
        assert len(staged.column("id")) == staged.sample.num_rows == _repeated(staged) == 0
        assert staged.digest == content_digest(_TOY, staged.sample)


def test_discarding_removes_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging_module, "_FILE_ROWS", 50)
    monkeypatch.setattr(staging_module, "_CHUNK_ROWS", 50)
    staged = _stage(_CONTRACT, tmp_path, [make_columns(300)])
    assert len(_names(tmp_path)) == len(staged.files) > 2
    staged.close()
    assert _names(tmp_path) == []
    staged.close()


@pytest.mark.parametrize("memory_bytes", _MEMORIES)
def test_only_the_staged_files_remain_on_disk(tmp_path: Path, memory_bytes: int) -> None:
    staged = _stage(_CONTRACT, tmp_path, _shuffled(make_columns(500), 5), memory_bytes)
    assert _names(tmp_path) == [f"{_CONTRACT.name}/{file.path.name}" for file in staged.files]


@pytest.mark.parametrize("memory_bytes", _MEMORIES)
def test_a_failure_while_staging_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_bytes: int
) -> None:
    monkeypatch.setattr(staging_module, "_FILE_ROWS", 50)
    monkeypatch.setattr(staging_module, "_CHUNK_ROWS", 50)
    calls: list[int] = []

    def interrupt(words: str, amount: int = 1) -> None:
        calls.append(amount)
        if len(calls) == 3:
            raise KeyboardInterrupt

    def stage() -> None:
        with Staging(_CONTRACT, tmp_path / _CONTRACT.name, memory_bytes) as staging:
            for batch in _shuffled(make_columns(300), 5):
                staging.add(to_arrow(_CONTRACT.dataset_columns, batch))
            staging.stage(interrupt)

    with pytest.raises(KeyboardInterrupt):
        stage()
    assert _names(tmp_path) == []


def test_more_may_go_to_disk_than_there_may_be_open_files(tmp_path: Path) -> None:
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    batches = _shuffled(make_columns(300), 300)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 100, most))
    try:
        staged = _stage(_CONTRACT, tmp_path, batches, memory_bytes=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    assert staged.rows == 300


def test_files_of_a_killed_process_are_deleted_after_a_day(tmp_path: Path) -> None:
    old, young = tmp_path / ".arriving-old", tmp_path / ".arriving-young"
    for folder, age in ((old, timedelta(hours=25)), (young, timedelta(hours=23))):
        folder.mkdir()
        (folder / "000000.arrow").write_bytes(b"half")
        moment = time.time() - age.total_seconds()
        for path in (folder / "000000.arrow", folder):
            os.utime(path, (moment, moment))
    _stage(_CONTRACT, tmp_path, [make_columns(30)])
    assert (old.exists(), young.exists()) == (True, True)
    _stage(_CONTRACT, tmp_path, [make_columns(30)], memory_bytes=1)
    assert (old.exists(), young.exists()) == (False, True)


def test_it_reports_the_progress_of_every_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those that share their key."""
    monkeypatch.setattr(staging_module, "_CHUNK_ROWS", 1)
    told: list[tuple[str, int]] = []
    with Staging(_TOY, tmp_path / "toy", _IN_MEMORY) as staging:
        staging.add(to_arrow(_TOY.dataset_columns, _toys([1, 2, 2, 3], [0, 10, 2_000, 5_000])))
        staging.stage(lambda words, amount=1: told.append((words, amount)))
    assert told == [("1 rows", 2), ("1 rows", 1), ("2 rows", 1)]
