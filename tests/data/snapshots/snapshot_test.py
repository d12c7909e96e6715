"""Snapshots: immutable versions, named by their content."""

import dataclasses
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from numpy.typing import NDArray
from support.flights import make_columns
from support.snapshots import commit_columns, stage_columns

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.data.snapshots import snapshot as snapshot_module
from athanor.data.snapshots.digest import content_digest
from athanor.data.snapshots.snapshot import (
    Origin,
    Snapshot,
    commit,
    find_snapshot,
    latest_snapshot,
    list_snapshots,
    read_column,
    read_slice,
    read_snapshot,
    restore,
)
from athanor.data.tables.tables import to_arrow
from athanor.errors import ConflictError, DataError, NotFoundError
from athanor.system.user import user_name
from projects.delays.model import MODEL

_CONTRACT = MODEL.contract
_NAME = _CONTRACT.name


def _commit(folder: Path, columns: Columns, **origin: Any) -> tuple[Snapshot, bool]:
    return commit_columns(_CONTRACT, columns, folder, **origin)


def _take(columns: Columns, chosen: Any) -> dict[str, NDArray[Any]]:
    return {name: values[chosen] for name, values in columns.items()}


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / _NAME).glob("*.parquet"))


def test_a_snapshot_records_its_origin(tmp_path: Path) -> None:
    columns = make_columns(30)
    snapshot, is_new = _commit(tmp_path, columns, rows_in=33, rejected={"cancelled": 3}, why="the first")
    assert is_new
    assert dataclasses.replace(snapshot, created_at="") == Snapshot(
        dataset="delays",
        version=0,
        digest=content_digest(_CONTRACT, to_arrow(_CONTRACT.dataset_columns, columns)),
        rows_in=33,
        rows_out=30,
        rejected={"cancelled": 3},
        contract=_CONTRACT.fingerprint,
        raw="raw digest",
        created_at="",
        first_event="2013-01-01T05:00:00.000000Z",
        last_event="2013-01-01T22:53:00.000000Z",
        by=user_name(),
        why="the first",
        budgets=_CONTRACT.budgets_digest,
    )
    assert snapshot.created_at.endswith("+00:00")
    assert list_snapshots(_NAME, tmp_path) == [snapshot]


def test_a_version_names_its_parent(tmp_path: Path) -> None:
    first, second = (_commit(tmp_path, make_columns(length))[0] for length in (30, 31))
    assert (first.parent, second.parent) == (None, 0)


def test_it_comes_back_as_it_was_committed(tmp_path: Path) -> None:
    columns = make_columns(50)
    snapshot, _ = _commit(tmp_path, columns)
    back = read_snapshot(_CONTRACT, tmp_path, snapshot)
    assert list(back) == [column.name for column in _CONTRACT.dataset_columns]
    for column in _CONTRACT.dataset_columns:
        assert back[column.name].dtype == column.kind.dtype
        np.testing.assert_array_equal(back[column.name], columns[column.name], err_msg=column.name)


def test_unchanged_rows_make_no_second_version(tmp_path: Path) -> None:
    first, _ = _commit(tmp_path, make_columns(30))
    again, is_new = _commit(tmp_path, _take(make_columns(30), slice(None, None, -1)))
    assert (again, is_new) == (first, False)
    assert DeltaTable(tmp_path / _NAME).version() == 0


def test_changed_rows_make_a_new_version_and_leave_the_old_one(tmp_path: Path) -> None:
    first, _ = _commit(tmp_path, make_columns(30))
    second, is_new = _commit(tmp_path, make_columns(31))
    assert (second.version, is_new) == (1, True)
    assert len(read_snapshot(_CONTRACT, tmp_path, first)["carrier"]) == 30
    assert len(read_snapshot(_CONTRACT, tmp_path, second)["carrier"]) == 31


def test_another_contract_makes_a_new_version_of_the_same_rows(tmp_path: Path) -> None:
    first, _ = _commit(tmp_path, make_columns(30))
    second, is_new = commit_columns(_stricter(), make_columns(30), tmp_path)
    assert (second.version, second.digest, is_new) == (1, first.digest, True)


def _stricter() -> Contract:
    columns = [dataclasses.replace(column, may_be_missing=False) for column in _CONTRACT.columns]
    stricter = dataclasses.replace(_CONTRACT, columns=tuple(columns))
    assert stricter.fingerprint != _CONTRACT.fingerprint
    return stricter


def test_versions_are_found_and_listed_newest_first(tmp_path: Path) -> None:
    snapshots = [_commit(tmp_path, make_columns(length))[0] for length in (30, 31, 32)]
    assert list_snapshots(_NAME, tmp_path) == snapshots[::-1]
    assert latest_snapshot(_NAME, tmp_path) == find_snapshot(_NAME, tmp_path) == snapshots[2]
    assert find_snapshot(_NAME, tmp_path, version=0) == snapshots[0]


def test_a_version_that_is_not_there_is_named_beside_those_that_are(tmp_path: Path) -> None:
    _commit(tmp_path, make_columns(30))
    _commit(tmp_path, make_columns(31))
    with pytest.raises(NotFoundError, match="no snapshot 7 of delays; there are: 1, 0"):
        find_snapshot(_NAME, tmp_path, version=7)


def test_where_there_is_no_table_there_are_no_snapshots(tmp_path: Path) -> None:
    assert list_snapshots(_NAME, tmp_path) == []
    assert latest_snapshot(_NAME, tmp_path) is None
    with pytest.raises(NotFoundError, match="none; build one with `data build`"):
        find_snapshot(_NAME, tmp_path)


def test_compacting_the_table_changes_no_snapshot_and_not_the_next_either(tmp_path: Path) -> None:
    first, _ = _commit(tmp_path, make_columns(30))
    write_deltalake(tmp_path / _NAME, to_arrow(_CONTRACT.dataset_columns, make_columns(1, seed=9)), mode="append")
    DeltaTable(tmp_path / _NAME).optimize.compact()
    second, _ = _commit(tmp_path, make_columns(31))
    assert list_snapshots(_NAME, tmp_path) == [second, first]
    assert (second.version, second.parent) == (3, 0)
    for snapshot, length in ((first, 30), (second, 31)):
        assert len(read_snapshot(_CONTRACT, tmp_path, snapshot)["carrier"]) == length


def _replace_file(folder: Path, columns: Columns) -> None:
    """Puts other rows where the only file of the table is, and their size where the log says it."""
    (name,) = _files(folder)
    path, (log,) = folder / _NAME / name, (folder / _NAME / "_delta_log").glob("*.json")
    before = path.stat().st_size
    pq.write_table(to_arrow(_CONTRACT.dataset_columns, columns), path)
    log.write_text(log.read_text().replace(f'"size":{before}', f'"size":{path.stat().st_size}'))


def test_rows_that_are_not_those_that_were_committed_are_refused(tmp_path: Path) -> None:
    snapshot, _ = _commit(tmp_path, make_columns(30))
    changed = make_columns(30)
    changed["distance"][7] += 1
    _replace_file(tmp_path, changed)
    with pytest.raises(DataError, match=f"corrupted or was tampered with.*committed was {snapshot.digest}"):
        read_snapshot(_CONTRACT, tmp_path, snapshot)


def test_a_file_that_is_no_table_any_more_is_named(tmp_path: Path) -> None:
    snapshot, _ = _commit(tmp_path, make_columns(30))
    (name,) = _files(tmp_path)
    (tmp_path / _NAME / name).write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=f"corrupted or was tampered with: a file cannot be read.*{name}"):
        read_snapshot(_CONTRACT, tmp_path, snapshot)


def test_a_slice_of_time_holds_its_begin_and_not_its_end(tmp_path: Path) -> None:
    columns = make_columns(400)
    times = columns["scheduled_departure"]
    snapshot, _ = _commit(tmp_path, columns)
    found = read_slice(_CONTRACT, tmp_path, snapshot, times[100], times[300])
    for name, values in columns.items():
        np.testing.assert_array_equal(found[name], values[100:300], err_msg=name)
    assert len(read_slice(_CONTRACT, tmp_path, snapshot, None, times[100])["carrier"]) == 100
    assert len(read_slice(_CONTRACT, tmp_path, snapshot, times[100], None)["carrier"]) == 300
    assert len(read_slice(_CONTRACT, tmp_path, snapshot, times[0] - np.timedelta64(9, "D"), times[0])["carrier"]) == 0


def test_one_column_can_be_read_by_itself(tmp_path: Path) -> None:
    columns = make_columns(50)
    snapshot, _ = _commit(tmp_path, columns)
    for name in ("carrier", "distance", "scheduled_departure", "arrived_late"):
        np.testing.assert_array_equal(np.sort(read_column(_CONTRACT, tmp_path, snapshot, name)), np.sort(columns[name]))


def test_the_second_of_two_commits_on_one_version_conflicts(tmp_path: Path) -> None:
    first, _ = _commit(tmp_path, make_columns(30))
    _commit(tmp_path, make_columns(31))
    before = _files(tmp_path)
    with pytest.raises(ConflictError, match="delays: another process committed a version meanwhile"):
        _commit(tmp_path, make_columns(32), based_on=first)
    assert [s.rows_out for s in list_snapshots(_NAME, tmp_path)] == [31, 30]
    assert _files(tmp_path) == before


def test_a_version_committed_between_reading_the_log_and_writing_it_is_never_covered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other writer is let in at the last moment: when this one describes what it is about to commit."""
    _commit(tmp_path, make_columns(30))
    describe = snapshot_module._describe

    def describe_late(*arguments: Any) -> Snapshot:
        monkeypatch.setattr(snapshot_module, "_describe", describe)
        _commit(tmp_path, make_columns(31))
        return describe(*arguments)

    monkeypatch.setattr(snapshot_module, "_describe", describe_late)
    with pytest.raises(ConflictError):
        _commit(tmp_path, make_columns(32))
    assert [s.rows_out for s in list_snapshots(_NAME, tmp_path)] == [31, 30]


def test_an_earlier_version_can_be_restored_as_a_new_one(tmp_path: Path) -> None:
    first, _ = _commit(tmp_path, make_columns(30))
    _commit(tmp_path, make_columns(31))
    restored = restore(_NAME, tmp_path, 0, why="31 was a mistake")
    assert (restored.version, restored.parent, restored.why) == (2, 1, "31 was a mistake")
    assert (restored.digest, restored.rows_out) == (first.digest, 30)
    assert latest_snapshot(_NAME, tmp_path) == restored
    assert len(read_snapshot(_CONTRACT, tmp_path, restored)["carrier"]) == 30


def test_a_version_that_never_was_cannot_be_restored(tmp_path: Path) -> None:
    _commit(tmp_path, make_columns(30))
    with pytest.raises(NotFoundError, match="no snapshot 7"):
        restore(_NAME, tmp_path, 7, why="?")


def test_staged_files_of_unchanged_rows_are_gone(tmp_path: Path) -> None:
    _commit(tmp_path, make_columns(30))
    before = _files(tmp_path)
    _commit(tmp_path, make_columns(30))
    assert _files(tmp_path) == before


def test_a_commit_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise DeltaError("disk full")

    staged = stage_columns(_CONTRACT, make_columns(30), tmp_path)
    monkeypatch.setattr(snapshot_module, "_write_log", fail)
    with pytest.raises(DeltaError, match="disk full"):
        commit(tmp_path, staged, Origin(30, "raw digest", "a test"))
    assert _files(tmp_path) == []


def test_a_snapshot_of_another_contract_is_refused(tmp_path: Path) -> None:
    """Its rows were never checked against this one."""
    snapshot, _ = _commit(tmp_path, make_columns(30))
    stricter = _stricter()
    with pytest.raises(DataError, match=f"under contract {_CONTRACT.fingerprint}, this is {stricter.fingerprint}"):
        read_snapshot(stricter, tmp_path, snapshot)


def test_a_version_is_there_whatever_fails_after_its_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delta writes a checkpoint after some commits, which may fail on a full disk."""
    write_log = snapshot_module._write_log

    def write_and_fail(*arguments: Any) -> None:
        write_log(*arguments)
        raise OSError("no space left for the checkpoint")

    monkeypatch.setattr(snapshot_module, "_write_log", write_and_fail)
    snapshot, is_new = _commit(tmp_path, make_columns(30))
    assert (is_new, list_snapshots(_NAME, tmp_path)) == (True, [snapshot])
    assert len(read_snapshot(_CONTRACT, tmp_path, snapshot)["carrier"]) == 30


def test_files_that_the_log_may_name_are_never_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_log = snapshot_module._write_log

    def write_and_be_told_to_stop(*arguments: Any) -> None:
        write_log(*arguments)
        raise KeyboardInterrupt

    staged = stage_columns(_CONTRACT, make_columns(30), tmp_path)
    monkeypatch.setattr(snapshot_module, "_write_log", write_and_be_told_to_stop)
    with closing(staged), pytest.raises(KeyboardInterrupt):
        commit(tmp_path, staged, Origin(30, "raw digest", "a test"))
    (snapshot,) = list_snapshots(_NAME, tmp_path)
    assert len(read_snapshot(_CONTRACT, tmp_path, snapshot)["carrier"]) == 30
