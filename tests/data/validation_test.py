"""Whether a dataset keeps its contract: each check fails here, and says why."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.protos import Toy

from athanor.contract.contract import Contract
from athanor.contract.v1 import options_pb2
from athanor.data.validation import accept, sort_order
from athanor.errors import DataError

_CONTRACT = Toy().read()
_LENGTH = 20


def _make_rows(**changed: Any) -> dict[str, NDArray[Any]]:
    """Twenty valid rows, with some columns replaced."""
    rows: dict[str, NDArray[Any]] = {
        "at": np.datetime64("2013-01-01", "us") + np.arange(_LENGTH) * np.timedelta64(1, "h"),
        "id": np.arange(1.0, _LENGTH + 1),
        "amount": np.linspace(0, 9, _LENGTH),
        "count": np.arange(_LENGTH) * 1.0,
        "color": np.array(["red", "green"] * (_LENGTH // 2), dtype=object),
        "code": np.array(["A", ""] * (_LENGTH // 2), dtype=object),
        "is_new": np.array([0.0, np.nan] * (_LENGTH // 2)),
        "won": np.array([0.0, 1.0, 1.0, 0.0] * (_LENGTH // 4)),
    }
    return {**rows, **changed}


def _spoil(name: str, value: Any, count: int = 1) -> dict[str, NDArray[Any]]:
    """Valid rows but for the first `count`."""
    rows = _make_rows()
    rows[name][:count] = value
    return rows


def _with_budget(budget: float = 0.0) -> Contract:
    """Another rejected budget."""
    toy = Toy()
    toy.row.options.Extensions[options_pb2.dataset].rejected_budget = budget
    return toy.read()


def test_valid_rows_are_all_accepted() -> None:
    accepted = accept(_CONTRACT, _make_rows())
    assert accepted.rejected == {}
    for name, values in _make_rows().items():
        np.testing.assert_array_equal(accepted.columns[name], values)


def test_accepted_rows_follow_time_and_then_the_key() -> None:
    rows = _make_rows(at=np.repeat(np.datetime64("2013-01-01", "us"), _LENGTH))
    rows["at"][3:5] -= np.timedelta64(1, "D")
    shuffled = np.random.default_rng(0).permutation(_LENGTH)
    accepted = accept(_CONTRACT, {name: values[shuffled] for name, values in rows.items()})
    assert accepted.columns["id"].tolist() == [4, 5, 1, 2, 3, *range(6, 21)]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("amount", np.inf, "amount FINITE"),
        ("amount", -1.0, "amount MINIMUM"),
        ("amount", 9.5, "amount MAXIMUM"),
        ("amount", np.nan, "amount REQUIRED"),
        ("id", 0.5, "id WHOLE"),
        ("color", "blue", "color CATEGORY"),
        ("color", "", "color REQUIRED"),
        ("code", "a", "code PATTERN"),
        ("at", np.datetime64("NaT"), "at REQUIRED"),
        ("at", np.datetime64("20000-01-01", "us"), "at TIMESTAMP"),
        ("won", np.nan, "won REQUIRED"),
        ("won", 2.0, "won MAXIMUM"),
    ],
)
def test_rows_that_break_the_contract_are_set_aside_under_a_reason(name: str, value: Any, reason: str) -> None:
    accepted = accept(_CONTRACT, _spoil(name, value, count=2))
    assert {k: n for k, n in accepted.rejected.items() if k == reason} == {reason: 2}
    assert sum(accepted.rejected.values()) == 2
    assert {len(values) for values in accepted.columns.values()} == {_LENGTH - 2}


def test_a_row_that_breaks_several_rules_counts_once() -> None:
    rows = _make_rows()
    rows["amount"][0], rows["color"][0], rows["color"][1] = -1, "blue", "blue"
    accepted = accept(_CONTRACT, rows)
    assert accepted.rejected == {"amount MINIMUM": 1, "color CATEGORY": 1}
    assert len(accepted.columns["id"]) == _LENGTH - 2


def test_the_rejected_budget_is_inclusive() -> None:
    assert len(accept(_CONTRACT, _spoil("amount", -1.0, count=5)).columns["id"]) == 15


def test_more_rows_than_the_rejected_budget_are_refused_with_rule_count_and_samples() -> None:
    rows = _spoil("amount", -1.5, count=6)
    rows["color"][5] = "blue"
    with pytest.raises(DataError) as caught:
        accept(_CONTRACT, rows)
    lines = str(caught.value).splitlines()
    assert lines[0] == "toy: nothing was committed"
    assert lines[1] == "  - 6 of 20 rows (30.00%) break it, allowed are 25.00%"
    assert lines[2].startswith(
        "  - amount MINIMUM: 6 rows (30.00%), for example row 0: -1.5 is not allowed (MINIMUM); "
        "give a number from 0 to 9 kg; row 1: "
    )
    assert lines[2].count("row ") == 3
    assert lines[3].startswith("  - color CATEGORY: 1 rows (5.00%), for example row 5: 'blue' is not allowed")


def test_without_a_budget_one_row_is_too_many() -> None:
    with pytest.raises(DataError, match=r"1 of 20 rows \(5\.00%\) break it, allowed are 0\.00%"):
        accept(_with_budget(), _spoil("amount", -1.0))


@pytest.mark.parametrize("budget", [0.0, 1.0])
def test_no_rows_are_no_dataset(budget: float) -> None:
    empty = {name: values[:0] for name, values in _make_rows().items()}
    with pytest.raises(DataError, match="no row is left"):
        accept(_with_budget(budget), empty)


def test_a_dataset_of_which_nothing_is_left_is_refused_even_within_its_budget() -> None:
    with pytest.raises(DataError, match="no row is left"):
        accept(_with_budget(1.0), _spoil("amount", -1.0, count=_LENGTH))


def test_repeated_keys_are_refused_however_far_apart_in_time() -> None:
    ids = np.arange(1.0, _LENGTH + 1)
    ids[[7, 19]] = ids[[0, 0]]
    with pytest.raises(DataError, match=r"2 rows repeat the key \(id\) of another"):
        accept(_CONTRACT, _make_rows(id=ids))


def test_a_key_repeated_by_a_row_that_was_set_aside_is_no_repetition() -> None:
    rows = _make_rows()
    rows["id"][0], rows["amount"][0] = rows["id"][1], -1.0
    assert accept(_CONTRACT, rows).rejected == {"amount MINIMUM": 1}


def test_more_missing_values_than_the_budget_are_refused() -> None:
    with pytest.raises(DataError, match=r"count is missing in 55\.00% of rows, allowed are 50\.00%"):
        accept(_CONTRACT, _spoil("count", np.nan, count=11))
    assert len(accept(_CONTRACT, _spoil("count", np.nan, count=10)).columns["id"]) == _LENGTH


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_label_that_never_varies_is_refused(label: float) -> None:
    with pytest.raises(DataError, match=f"label won is {label:g} in every row; there is nothing to learn"):
        accept(_CONTRACT, _make_rows(won=np.full(_LENGTH, label)))


def test_all_problems_are_told_at_once() -> None:
    rows = _make_rows(won=np.zeros(_LENGTH), count=np.full(_LENGTH, np.nan))
    rows["id"][1] = rows["id"][0]
    rows["amount"][10:] = 99
    with pytest.raises(DataError) as caught:
        accept(_CONTRACT, rows)
    for part in ("10 of 20 rows", "amount MAXIMUM", "1 rows repeat the key", "count is missing", "label won"):
        assert part in str(caught.value)


def test_the_order_does_not_depend_on_the_order_in_which_rows_came() -> None:
    rows = _make_rows(at=np.repeat(np.datetime64("2013-01-01", "us"), _LENGTH))
    expected = rows["id"][sort_order(_CONTRACT, rows)]
    for seed in range(5):
        shuffled = {n: values[np.random.default_rng(seed).permutation(_LENGTH)] for n, values in rows.items()}
        np.testing.assert_array_equal(shuffled["id"][sort_order(_CONTRACT, shuffled)], expected)
