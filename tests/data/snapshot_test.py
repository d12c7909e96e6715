"""Snapshots: immutable versions, named by their content."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.flights import make_columns
from support.properties import PROPERTY
from support.protos import Toy

from athanor.contract.columns import Columns
from athanor.data.snapshot import (
    Snapshot,
    commit,
    content_digest,
    find_snapshot,
    latest_snapshot,
    list_snapshots,
    read_snapshot,
)
from athanor.data.tables import to_arrow
from athanor.data.validation import Accepted
from athanor.errors import DataError, NotFoundError
from projects.flight_delay.model import MODEL

_CONTRACT = MODEL.contract
_NAME = _CONTRACT.name


def _commit(folder: Path, columns: Columns, rejected: dict[str, int] | None = None) -> tuple[Snapshot, bool]:
    rejected = rejected or {}
    rows_in = len(columns["carrier"]) + sum(rejected.values())
    return commit(_CONTRACT, Accepted(columns, rejected), folder, rows_in, raw="raw digest")


def _take(columns: Columns, chosen: Any) -> dict[str, NDArray[Any]]:
    return {name: values[chosen] for name, values in columns.items()}


def test_a_snapshot_tells_all_about_itself(tmp_path: Path) -> None:
    columns = make_columns(30)
    snapshot, is_new = _commit(tmp_path, columns, {"cancelled": 3})
    assert is_new
    assert dataclasses.replace(snapshot, created_at="") == Snapshot(
        dataset="flight_delay",
        version=0,
        digest=content_digest(_CONTRACT, columns),
        rows_in=33,
        rows_out=30,
        rejected={"cancelled": 3},
        contract=_CONTRACT.fingerprint,
        raw="raw digest",
        created_at="",
    )
    assert snapshot.created_at.endswith("+00:00")
    assert list_snapshots(_NAME, tmp_path) == [snapshot]


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
    stricter = dataclasses.replace(_CONTRACT, rejected_budget=0.0)
    assert stricter.fingerprint != _CONTRACT.fingerprint
    second, is_new = commit(stricter, Accepted(make_columns(30), {}), tmp_path, 30, raw="raw digest")
    assert (second.version, second.digest, is_new) == (1, first.digest, True)


def test_versions_are_found_and_listed_newest_first(tmp_path: Path) -> None:
    snapshots = [_commit(tmp_path, make_columns(length))[0] for length in (30, 31, 32)]
    assert list_snapshots(_NAME, tmp_path) == snapshots[::-1]
    assert latest_snapshot(_NAME, tmp_path) == find_snapshot(_NAME, tmp_path) == snapshots[2]
    assert find_snapshot(_NAME, tmp_path, version=0) == snapshots[0]


def test_a_version_that_is_not_there_is_named_beside_those_that_are(tmp_path: Path) -> None:
    _commit(tmp_path, make_columns(30))
    _commit(tmp_path, make_columns(31))
    with pytest.raises(NotFoundError, match="no snapshot 7 of flight_delay; there are: 1, 0"):
        find_snapshot(_NAME, tmp_path, version=7)


def test_where_there_is_no_table_there_are_no_snapshots(tmp_path: Path) -> None:
    assert list_snapshots(_NAME, tmp_path) == []
    assert latest_snapshot(_NAME, tmp_path) is None
    with pytest.raises(NotFoundError, match="none; make one with `data build`"):
        find_snapshot(_NAME, tmp_path)


def test_compacting_the_table_changes_no_snapshot_and_not_the_next_either(tmp_path: Path) -> None:
    first, _ = _commit(tmp_path, make_columns(30))
    write_deltalake(tmp_path / _NAME, to_arrow(_CONTRACT.dataset_columns, make_columns(1, seed=9)), mode="append")
    DeltaTable(tmp_path / _NAME).optimize.compact()
    second, _ = _commit(tmp_path, make_columns(31))
    assert list_snapshots(_NAME, tmp_path) == [second, first]
    for snapshot in (first, second):
        assert content_digest(_CONTRACT, read_snapshot(_CONTRACT, tmp_path, snapshot)) == snapshot.digest


def test_a_snapshot_of_another_contract_is_refused(tmp_path: Path) -> None:
    """Its rows were never checked against this one."""
    snapshot, _ = _commit(tmp_path, make_columns(30))
    stricter = dataclasses.replace(_CONTRACT, rejected_budget=0.0)
    with pytest.raises(DataError, match=f"under contract {_CONTRACT.fingerprint}, this is {stricter.fingerprint}"):
        read_snapshot(stricter, tmp_path, snapshot)


@PROPERTY
@given(st.permutations(range(12)))
def test_the_digest_does_not_depend_on_the_order_of_rows(order: list[int]) -> None:
    columns = make_columns(12)
    assert content_digest(_CONTRACT, _take(columns, order)) == content_digest(_CONTRACT, columns)


@pytest.mark.parametrize("cuts", [(1,), (3, 4), (2, 5, 9)])
def test_the_digest_does_not_depend_on_the_layout_of_files(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    """The rows in several files, newest first: as one table they have the digest of the snapshot in one."""
    columns = make_columns(12)
    whole, _ = _commit(tmp_path / "whole", columns)
    for part in np.split(np.arange(12)[::-1], cuts):
        write_deltalake(
            tmp_path / "parts" / _NAME, to_arrow(_CONTRACT.dataset_columns, _take(columns, part)), mode="append"
        )
    version = DeltaTable(tmp_path / "parts" / _NAME).version()
    back = read_snapshot(_CONTRACT, tmp_path / "parts", dataclasses.replace(whole, version=version))
    assert content_digest(_CONTRACT, back) == whole.digest


@pytest.mark.parametrize("name", [column.name for column in _CONTRACT.dataset_columns])
def test_the_digest_sees_a_change_of_one_value_in_any_column(name: str) -> None:
    columns = make_columns(12)
    changed = columns[name].copy()
    if changed.dtype == object:
        changed[5] = {"carrier": "ZZ", "origin": "", "destination": "ZZZ"}[name]
    elif changed.dtype.kind == "M":
        changed[5] += np.timedelta64(1, "us")
    else:
        changed[5] = 1 - changed[5] if np.isfinite(changed[5]) else 1
    assert content_digest(_CONTRACT, {**columns, name: changed}) != content_digest(_CONTRACT, columns)


def test_the_digest_knows_one_zero_and_one_missing_value() -> None:
    contract, bits = Toy().read(), np.array([0x7FF8_0000_0000_0001], dtype=np.uint64)
    rows: Columns = {
        "at": np.array(["2013-01-01"], dtype="M8[us]"),
        "id": np.array([1.0]),
        "amount": np.array([0.0]),
        "count": np.array([np.nan]),
        "color": np.array(["red"], dtype=object),
        "code": np.array([""], dtype=object),
        "is_new": np.array([0.0]),
        "won": np.array([1.0]),
    }
    same = {**rows, "amount": np.array([-0.0]), "count": bits.view(np.float64)}
    assert content_digest(contract, same) == content_digest(contract, rows)


def test_the_digest_sees_where_one_text_ends_and_the_next_begins() -> None:
    columns = make_columns(2)
    one = {**columns, "destination": np.array(["AB", "C"], dtype=object)}
    two = {**columns, "destination": np.array(["A", "BC"], dtype=object)}
    assert content_digest(_CONTRACT, one) != content_digest(_CONTRACT, two)
