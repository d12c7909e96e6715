"""Differences of snapshots, compared with plain Python."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.flights import make_columns
from support.properties import SLOW_PROPERTY
from support.protos import Toy, make_field
from support.snapshots import commit_columns

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.v1 import options_pb2
from athanor.data.profiles import difference as difference_module
from athanor.data.profiles.difference import ColumnChange, Difference, compare
from athanor.data.snapshots.snapshot import Snapshot
from athanor.data.snapshots.vacuum import vacuum
from athanor.errors import DataError
from athanor.progress import Advance
from projects.delays.model import MODEL

_FLIGHTS: Final = MODEL.contract
_TOY: Final = Toy().read()


def _timed() -> Contract:
    """A toy whose key holds the event time, so that it is compared in slices of time."""
    toy = Toy()
    toy.column("at").roles.append(options_pb2.ROLE_KEY)
    return toy.read()


_TIMED: Final = _timed()
_MISSING: Final[Mapping[str, Any]] = {"count": np.nan, "code": "", "is_new": np.nan}
# Minutes, and the other values; keys are few, so that both sides have some.
_ROW: Final = st.fixed_dictionaries(
    {
        "at": st.sampled_from([0, 5, 1_500, 90_000]),
        "id": st.integers(1, 6),
        "amount": st.sampled_from([0.0, 1.25, 9.0]),
        "count": st.sampled_from([np.nan, 0.0, 7.0]),
        "color": st.sampled_from(["red", "green"]),
        "code": st.sampled_from(["", "A", "AB"]),
        "is_new": st.sampled_from([np.nan, 0.0, 1.0]),
        "won": st.sampled_from([0.0, 1.0]),
    }
)


def _rows(*key: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(_ROW, max_size=10, unique_by=lambda row: tuple(row[name] for name in key))


def _columns(rows: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    def column(name: str) -> NDArray[Any]:
        values = [row[name] for row in rows]
        if name == "at":
            return np.array(values, dtype="M8[m]").astype("M8[us]")
        return np.array(values, dtype=object if name in ("color", "code") else np.float64)

    return {field.name: column(field.name) for field in _TOY.dataset_columns}


def _row(key: int, **values: Any) -> dict[str, Any]:
    return {"at": 5 * key, "id": key, "amount": 1.0, "color": "red", "won": 0.0, **_MISSING, **values}


def _compare(contract: Contract, folder: Path, before: Columns, after: Columns) -> Difference:
    one, other = (commit_columns(contract, columns, folder)[0] for columns in (before, after))
    return compare(contract, folder, one, other)


def _is_same(one: Any, other: Any) -> bool:
    """As they are written: NaN is."""
    return repr(one) == repr(other)


def _expect(key: tuple[str, ...], before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows and changed values, out of two dictionaries by key."""
    one, other = ({tuple(row[name] for name in key): row for row in rows} for rows in (before, after))
    common = one.keys() & other.keys()
    changed = {name: sum(not _is_same(one[k][name], other[k][name]) for k in common) for name in _row(1)}
    same = sum(all(_is_same(one[k][name], other[k][name]) for name in changed) for k in common)
    rows = {"added": len(other) - len(common), "removed": len(one) - len(common)}
    return {"rows": rows | {"changed": len(common) - same, "unchanged": same}, "changed": changed}


def _found(difference: Difference) -> dict[str, Any]:
    return {
        "rows": difference.rows,
        "changed": {name: change.changed for name, change in difference.columns.items()},
    }


@SLOW_PROPERTY
@given(_rows("id"), _rows("id"))
def test_rows_are_added_removed_changed_or_as_they_were_by_their_key(
    tmp_path_factory: pytest.TempPathFactory, before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    found = _compare(_TOY, tmp_path_factory.mktemp("difference"), _columns(before), _columns(after))
    assert _found(found) == _expect(("id",), before, after)


@SLOW_PROPERTY
@given(_rows("at", "id"), _rows("at", "id"), st.integers(1, 4))
def test_slices_of_time_change_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    window_rows: int,
) -> None:
    folder = tmp_path_factory.mktemp("difference")
    whole = _compare(_TIMED, folder, _columns(before), _columns(after))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(difference_module, "_WINDOW_ROWS", window_rows)
        sliced = compare(_TIMED, folder, whole.before, whole.after)
    assert _found(sliced) == _found(whole) == _expect(("at", "id"), before, after)
    for name, change in whole.columns.items():
        _check_equal(sliced.columns[name], change)


def _check_equal(one: ColumnChange, other: ColumnChange) -> None:
    np.testing.assert_allclose(_numbers(one), _numbers(other), rtol=1e-12, equal_nan=True)


def _numbers(change: ColumnChange) -> list[float]:
    return [number for pair in astuple(change)[1:] for number in pair]


class _Watch:
    """Counts the reported progress."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0

    @contextmanager
    def step(self, description: str, total: int = 1) -> Iterator[Advance]:
        self.total = total

        def advance(words: str, amount: int = 1) -> None:
            self.done += amount

        yield advance


@pytest.mark.parametrize(("contract", "slices"), [(_TIMED, 5), (_TOY, 1)])
def test_only_a_key_with_the_event_time_allows_time_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contract: Contract, slices: int
) -> None:
    """Where it has not, a row may have moved to another time and is the same row still."""
    monkeypatch.setattr(difference_module, "_WINDOW_ROWS", 2)
    columns = (_columns([_row(key) for key in range(1, rows)]) for rows in (8, 11))
    before, after = (commit_columns(contract, side, tmp_path)[0] for side in columns)
    watch = _Watch()
    found = compare(contract, tmp_path, before, after, watch)
    assert (watch.total, watch.done) == (slices, slices)
    assert found.rows == {"added": 3, "removed": 0, "changed": 0, "unchanged": 7}


def test_a_missing_value_equals_a_missing_value_and_no_other(tmp_path: Path) -> None:
    before = [_row(1), _row(2), _row(3, count=0.0, code="A", is_new=0.0)]
    after = [_row(1), _row(2, count=0.0, code="A", is_new=0.0), _row(3)]
    found = _compare(_TOY, tmp_path, _columns(before), _columns(after))
    assert found.rows == {"added": 0, "removed": 0, "changed": 2, "unchanged": 1}
    assert {name: found.columns[name].changed for name in _MISSING} == dict.fromkeys(_MISSING, 2)


def test_a_row_that_moved_in_time_is_the_same_row_where_its_key_is(tmp_path: Path) -> None:
    before, after = [_columns([_row(1, at=0), _row(2, at=at)]) for at in (5, 50_000)]
    found = _compare(_TOY, tmp_path / "toy", before, after)
    assert (found.rows["changed"], found.columns["at"].changed) == (1, 1)
    found = _compare(_TIMED, tmp_path / "timed", before, after)
    assert found.rows == {"added": 1, "removed": 1, "changed": 0, "unchanged": 1}


@pytest.mark.parametrize("window_rows", [1_000, 100])
def test_statistics_equal_numpys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_rows: int) -> None:
    monkeypatch.setattr(difference_module, "_WINDOW_ROWS", window_rows)
    sides = make_columns(300), make_columns(500, seed=1)
    found = _compare(_FLIGHTS, tmp_path, *sides)
    for column in _FLIGHTS.dataset_columns:
        values = [side[column.name] for side in sides]
        change = found.columns[column.name]
        if column.kind.is_numeric:
            assert change.missing == pytest.approx([np.isnan(side).mean() for side in values])
            assert change.mean == pytest.approx([np.nanmean(side) for side in values])
            assert change.minimum == tuple(np.nanmin(side) for side in values)
            assert change.maximum == tuple(np.nanmax(side) for side in values)
        else:
            assert change.missing == (0.0, 0.0)
            assert all(math.isnan(number) for number in _numbers(change)[2:]), column.name
    assert any(change.missing[0] > 0 for change in found.columns.values())


def test_a_column_that_is_all_missing_has_no_numbers(tmp_path: Path) -> None:
    found = _compare(_TOY, tmp_path, _columns([_row(1)]), _columns([_row(1, count=7.0), _row(2)]))
    np.testing.assert_array_equal(_numbers(found.columns["count"]), [1, 0.5, np.nan, 7, np.nan, 7, np.nan, 7])


@pytest.mark.parametrize("window_rows", [1_000, 1])
def test_empty_snapshots_can_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_rows: int) -> None:
    monkeypatch.setattr(difference_module, "_WINDOW_ROWS", window_rows)
    some, none = _columns([_row(1), _row(2), _row(3)]), _columns([])
    assert _compare(_TIMED, tmp_path, some, none).rows == {"added": 0, "removed": 3, "changed": 0, "unchanged": 0}
    found = _compare(_TIMED, tmp_path, none, some)
    assert found.rows == {"added": 3, "removed": 0, "changed": 0, "unchanged": 0}
    assert found.columns["amount"].mean == pytest.approx((np.nan, 1.0), nan_ok=True)


def test_a_snapshot_does_not_differ_from_itself(tmp_path: Path) -> None:
    found = _compare(_FLIGHTS, tmp_path, make_columns(50), make_columns(50))
    assert found.before == found.after
    assert found.rows == {"added": 0, "removed": 0, "changed": 0, "unchanged": 50}
    assert [found.columns_added, found.columns_removed, found.columns_retyped] == [{}, {}, {}]
    assert list(found.columns) == [column.name for column in _FLIGHTS.dataset_columns]


def _changed_toy() -> Contract:
    """Without `code`, with `size`, and `count` is a number that need not be whole."""
    toy = Toy()
    toy.remove("code")
    toy.row.field.append(make_field("size", 8, "int32", description="How large"))
    toy.field("count").type = toy.field("amount").type
    return toy.read()


def test_added_removed_and_retyped_columns_are_reported(tmp_path: Path) -> None:
    changed = _changed_toy()
    rows = [_row(1), _row(2), _row(3)]
    columns = _columns(rows) | {"size": np.array([1.0, 2.0, 3.0]), "amount": np.array([1.0, 5.0, 1.0])}
    before, _ = commit_columns(_TOY, _columns(rows), tmp_path)
    after, _ = commit_columns(changed, columns, tmp_path)
    for contract in (_TOY, changed):
        found = compare(contract, tmp_path, before, after)
        assert found.columns_added == {"size": "int64"}
        assert found.columns_removed == {"code": "string"}
        assert found.columns_retyped == {"count": ("int64", "double")}
        assert list(found.columns) == ["at", "id", "amount", "color", "is_new", "won"]
        assert found.rows == {"added": 0, "removed": 0, "changed": 1, "unchanged": 2}
    back = compare(_TOY, tmp_path, after, before)
    assert (back.columns_added, back.columns_removed) == ({"code": "string"}, {"size": "int64"})
    assert back.columns_retyped == {"count": ("double", "int64")}


def _two(contract: Contract, other: Contract, columns: Columns, folder: Path) -> list[Snapshot]:
    """The same rows under two contracts."""
    columns = {"size": columns["id"], **columns}
    return [commit_columns(each, columns, folder)[0] for each in (contract, other)]


def test_a_snapshot_without_a_column_of_the_key_is_named(tmp_path: Path) -> None:
    toy = Toy()
    toy.column("code").roles.append(options_pb2.ROLE_KEY)
    toy.column("code").ClearField("may_be_missing")
    toy.column("code").ClearField("missing_budget")
    before, after = _two(_changed_toy(), toy.read(), _columns([_row(1, code="A")]), tmp_path)
    with pytest.raises(DataError, match="snapshot 0 has no code as string; rows are matched by key"):
        compare(toy.read(), tmp_path, before, after)


def test_a_snapshot_with_a_key_of_another_type_is_named(tmp_path: Path) -> None:
    toy = Toy()
    toy.field("id").type = toy.field("amount").type
    before, after = _two(_TOY, toy.read(), _columns([_row(1)]), tmp_path)
    with pytest.raises(DataError, match="snapshot 1 has no id as int64; rows are matched by key"):
        compare(_TOY, tmp_path, before, after)


def test_a_snapshot_in_which_the_key_repeats_is_named(tmp_path: Path) -> None:
    """Its contract has another key, so its rows cannot be matched one to one."""
    before, _ = commit_columns(_TIMED, _columns([_row(1), _row(1, at=50), _row(2)]), tmp_path)
    after, _ = commit_columns(_TOY, _columns([_row(1), _row(2)]), tmp_path)
    with pytest.raises(DataError, match=r"snapshot 0 has 1 keys \(id\) with several rows"):
        compare(_TOY, tmp_path, before, after)
    assert compare(_TIMED, tmp_path, before, after).rows["removed"] == 1


def test_comparing_a_vacuumed_version_raises(tmp_path: Path) -> None:
    found = _compare(_TOY, tmp_path, _columns([_row(1)]), _columns([_row(2)]))
    vacuum("toy", tmp_path, timedelta(0), named=())
    with pytest.raises(DataError, match="snapshot 0 of toy were vacuumed"):
        compare(_TOY, tmp_path, found.before, found.after)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    before, _ = commit_columns(MODEL.contract, make_columns(30), tmp_path)
    (path,) = (tmp_path / MODEL.name).glob("*.parquet")
    after, _ = commit_columns(MODEL.contract, make_columns(31), tmp_path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=f"snapshot 0 of delays is corrupted.*{path.name}"):
        compare(MODEL.contract, tmp_path, before, after)
