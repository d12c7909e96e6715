"""Differences of snapshots without a key, and drift of labels of every kind."""

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp
from support.properties import SLOW_PROPERTY
from support.protos import Toy
from support.snapshots import commit_columns
from support.toys import CATEGORIES, make_columns, take, with_categories, with_number, without_key, without_time

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.data.profiles import difference as difference_module
from athanor.data.profiles.difference import compare
from athanor.data.profiles.drift import DriftReport, Statistic, measure_drift
from athanor.data.profiles.profile import profile
from athanor.data.snapshots.snapshot import Snapshot
from athanor.errors import DataError

_KEYLESS: Final = without_key(Toy()).read()
_BARE: Final = without_key(without_time(Toy())).read()
_ROWS: Final = 2_000
_CHOSEN: Final = st.lists(st.integers(0, 8), max_size=10)


def _commit(contract: Contract, folder: Path, rows: list[int]) -> Snapshot:
    """Some of nine rows, as often as they are named."""
    return commit_columns(contract, take(make_columns(contract, 9), np.array(rows, dtype=np.int64)), folder)[0]


@SLOW_PROPERTY
@given(_CHOSEN, _CHOSEN, st.sampled_from([_KEYLESS, _BARE]), st.integers(1, 4))
def test_without_a_key_rows_are_matched_as_wholes(
    tmp_path_factory: pytest.TempPathFactory, before: list[int], after: list[int], contract: Contract, window_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("difference")
    sides = [_commit(contract, folder, rows) for rows in (before, after)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(difference_module, "_WINDOW_ROWS", window_rows)
        found = compare(contract, folder, sides[0], sides[1])
    counts = Counter(before), Counter(after)
    assert found.rows == {
        "added": (counts[1] - counts[0]).total(),
        "removed": (counts[0] - counts[1]).total(),
        "unchanged": (counts[0] & counts[1]).total(),
    }
    assert {change.changed for change in found.columns.values()} == {None}


def test_snapshots_that_share_no_column_cannot_be_compared(tmp_path: Path) -> None:
    """As of two contracts, each with a single column of another name."""
    one, other = without_key(without_time(Toy())), without_key(without_time(Toy()))
    for toy, kept in ((one, "amount"), (other, "color")):
        for name in ("amount", "count", "color", "code", "is_new"):
            if name != kept:
                toy.remove(name)
    other.field("won").name = "lost"
    contracts = one.read(), other.read()
    sides = [commit_columns(contract, make_columns(contract, 5), tmp_path)[0] for contract in contracts]
    with pytest.raises(DataError, match="snapshots 0 and 1 share no column; there are no rows to match"):
        compare(contracts[1], tmp_path, sides[0], sides[1])


def _with_budgets(toy: Toy, label: str, **budgets: float) -> Contract:
    for name, value in budgets.items():
        setattr(toy.column(label), name, value)
    return toy.read()


_FRUIT: Final = _with_budgets(with_categories(Toy()), "fruit", drift_budget=0.1, distance_budget=0.1)
_PRICE: Final = _with_budgets(with_number(Toy()), "price", drift_budget=0.1, distance_budget=0.1)
_COUNT: Final = _with_budgets(with_number(Toy(), "uint32"), "price", drift_budget=0.1, distance_budget=0.1)
_WON: Final = _with_budgets(Toy(), "won", drift_budget=0.1, rate_drift_budget=0.05)


def _measure(contract: Contract, before: Columns, after: Columns) -> DriftReport:
    sides = [profile(contract.dataset_columns, columns, None) for columns in (before, after)]
    return measure_drift(contract, *sides)


def _shift(contract: Contract) -> Columns:
    """Rows whose labels are others than those of `make_columns`."""
    columns = make_columns(contract, _ROWS, seed=1)
    label, random = contract.label.name, np.random.default_rng(5)
    if contract.label.categories:
        return {**columns, label: random.choice(np.array(CATEGORIES, dtype=object), _ROWS, p=[0.6, 0.2, 0.2])}
    if contract is _WON:
        return {**columns, label: (random.uniform(size=_ROWS) < 0.7).astype(np.float64)}
    return {**columns, label: np.round(columns[label] * 0.6)}


@pytest.mark.parametrize("contract", [_WON, _FRUIT, _PRICE, _COUNT], ids=["truth", "category", "number", "count"])
def test_a_label_of_any_kind_drifts_where_its_distribution_does(contract: Contract) -> None:
    before = make_columns(contract, _ROWS)
    shifted = _measure(contract, before, _shift(contract))
    drifted = {(one.column, one.statistic) for one in shifted.columns if one.has_drifted}
    assert {column for column, _ in drifted} == {contract.label.name}
    assert len(drifted) == 2
    assert not _measure(contract, before, make_columns(contract, _ROWS, seed=1)).has_drifted


def test_the_distances_of_labels_are_those_of_another_library() -> None:
    before, after = make_columns(_FRUIT, _ROWS), _shift(_FRUIT)
    found = {one.statistic: one.value for one in _measure(_FRUIT, before, after).columns if one.column == "fruit"}
    shares = [[np.mean(side["fruit"] == category) for category in CATEGORIES] for side in (before, after)]
    assert found[Statistic.JENSEN_SHANNON] == pytest.approx(jensenshannon(*shares, base=2))
    before, after = make_columns(_COUNT, _ROWS), _shift(_COUNT)
    found = {one.statistic: one.value for one in _measure(_COUNT, before, after).columns if one.column == "price"}
    assert found[Statistic.KOLMOGOROV_SMIRNOV] == pytest.approx(ks_2samp(before["price"], after["price"]).statistic)
