"""Drift reports of data that was poisoned in one place, and of clean data."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.drifts import TOY, compare, drifted, find, make_toy
from support.flights import make_columns
from support.protos import Toy

from athanor.contract.columns import Columns
from athanor.data.profiles.drift import Statistic, measure_drift
from athanor.data.profiles.profile import Profile, profile
from athanor.errors import DataError
from projects.delays.model import MODEL

_ROWS = 5_000
_FLIGHTS = MODEL.contract
_INDEX, _KS, _JS = Statistic.POPULATION_STABILITY, Statistic.KOLMOGOROV_SMIRNOV, Statistic.JENSEN_SHANNON
_MISSING, _TRUE = Statistic.MISSING_RATE, Statistic.TRUE_RATE


def test_exactly_the_statistics_with_budgets_are_measured() -> None:
    report = compare(make_columns(50, seed=1), make_columns(50, seed=2), _FLIGHTS)
    expected: dict[tuple[str, Statistic], float | None] = {}
    for column in _FLIGHTS.dataset_columns:
        own = _JS if column.kind.value == "text" else _KS
        budgets = (column.drift_budget, column.distance_budget, column.missing_drift_budget, column.rate_drift_budget)
        expected |= {(column.name, s): b for s, b in zip((_INDEX, own, _MISSING, _TRUE), budgets, strict=True)}
    found = {(drift.column, drift.statistic): drift.budget for drift in report.columns}
    assert found == {key: budget for key, budget in expected.items() if budget is not None}
    assert set(Statistic) == {statistic for _, statistic in found}
    assert (report.rows, report.reference_rows, report.significance) == (50, 50, 0.05)


def test_drifted_statistics_come_first_then_by_value_over_budget() -> None:
    before = make_toy(amount=np.arange(40.0), is_new=[0.0, 1.0] * 20)
    report = compare(before, make_toy(amount=np.arange(24.0, 64.0), is_new=[0.0] * 12 + [1.0] * 28))
    farther, drifts = find(report, "is_new", _TRUE), find(report, "amount", _KS)
    assert not farther.has_drifted
    assert farther.value / farther.budget > drifts.value / drifts.budget
    ranks = [(not drift.has_drifted, -drift.value / drift.budget) for drift in report.columns]
    assert ranks == sorted(ranks)
    assert drifts.has_drifted


def test_a_budget_of_zero_allows_no_change() -> None:
    toy = Toy()
    toy.column("is_new").rate_drift_budget = 0
    before, after = make_toy(is_new=[0.0, 1.0] * 500), make_toy(is_new=[0.0] * 400 + [1.0] * 600)
    contract = toy.read()
    assert drifted(compare(before, after, contract)) == {"is_new"}
    assert drifted(compare(before, before, contract)) == set()
    few = compare(before, make_toy(is_new=[0.0, 1.0, 1.0]), contract)
    assert not few.has_drifted
    assert few.columns[0].column == "is_new"


def test_p_values_are_adjusted_over_the_whole_report() -> None:
    report = compare(make_columns(300, seed=1), make_columns(300, seed=2), _FLIGHTS)
    smallest = min(report.columns, key=lambda drift: drift.p_value)
    assert smallest.adjusted_p_value == pytest.approx(min(1, smallest.p_value * len(report.columns)))
    assert all(drift.adjusted_p_value >= drift.p_value for drift in report.columns)


def test_a_significant_change_within_its_budget_is_no_drift() -> None:
    before, after = make_toy(is_new=[0.0, 1.0] * 50_000), make_toy(is_new=[0.0] * 48_000 + [1.0] * 52_000)
    found = find(compare(before, after), "is_new", _TRUE)
    assert found.adjusted_p_value < 1e-9
    assert found.value == pytest.approx(0.02)
    assert not found.has_drifted


def test_a_change_beyond_its_budget_that_is_not_significant_is_no_drift() -> None:
    found = find(compare(make_toy(is_new=[0.0, 1.0] * 500), make_toy(is_new=[0.0] * 5 + [1.0] * 9)), "is_new", _TRUE)
    assert found.value > found.budget
    assert not found.has_drifted


def test_the_contract_sets_the_significance() -> None:
    before, after = make_toy(is_new=[0.0, 1.0] * 500), make_toy(is_new=[0.0] * 5 + [1.0] * 9)
    lenient = replace(TOY, rules=replace(TOY.rules, drift_significance=1.0))
    report = compare(before, after, lenient)
    assert find(report, "is_new", _TRUE).has_drifted
    assert report.significance == 1


def _celsius(values: Columns) -> Columns:
    return {**values, "temperature": (values["temperature"] - 32) / 1.8}


def _renamed(values: Columns) -> Columns:
    return {**values, "carrier": np.where(values["carrier"] == "UA", "ZZ", values["carrier"])}


def _half_missing(values: Columns) -> Columns:
    is_odd = np.arange(len(values["pressure"])) % 2 == 1
    return {**values, "pressure": np.where(is_odd, np.nan, values["pressure"])}


def _later(values: Columns) -> Columns:
    labels = values["arrived_late"].copy()
    labels[::5] = 1
    return {**values, "arrived_late": labels}


def _garbled(values: Columns) -> Columns:
    garbage = np.array([f"?{row:05}" for row in range(len(values["destination"]))], dtype=object)
    return {**values, "destination": np.where(np.arange(len(garbage)) % 5 == 0, garbage, values["destination"])}


def _stuck(values: Columns) -> Columns:
    return {**values, "wind_speed": np.full_like(values["wind_speed"], np.nanmedian(values["wind_speed"]))}


@pytest.mark.parametrize(
    ("poison", "column"),
    [
        (_celsius, "temperature"),
        (_renamed, "carrier"),
        (_half_missing, "pressure"),
        (_later, "arrived_late"),
        (_garbled, "destination"),
        (_stuck, "wind_speed"),
    ],
)
@pytest.mark.parametrize("rows", [200, _ROWS])
def test_exactly_the_poisoned_columns_drift(poison: Callable[[Columns], Columns], column: str, rows: int) -> None:
    report = compare(make_columns(_ROWS, seed=1), poison(make_columns(rows, seed=2)), _FLIGHTS)
    assert drifted(report) == {column}
    assert report.has_drifted


def test_values_that_change_places_are_not_seen() -> None:
    """Each statistic looks at one column alone. What a model makes of it is for evaluation to see."""
    values = make_columns(_ROWS, seed=2)
    shuffled = {**values, "temperature": np.random.default_rng(0).permutation(values["temperature"])}
    before = make_columns(_ROWS, seed=1)
    assert compare(before, shuffled, _FLIGHTS) == compare(before, values, _FLIGHTS)


@pytest.mark.parametrize(("rows", "reference_rows"), [(30, _ROWS), (1, _ROWS), (30, 30), (3, 3), (_ROWS, _ROWS)])
def test_rows_of_the_same_distribution_hardly_ever_drift(rows: int, reference_rows: int) -> None:
    """In at least 95 of 100 trials, which is what the contract's significance promises."""
    columns, everything = _FLIGHTS.dataset_columns, make_columns(100_000)
    random, calm = np.random.default_rng(0), 0
    for _ in range(100):
        sides = (random.integers(0, 100_000, size) for size in (reference_rows, rows))
        before, after = (profile(columns, {n: v[side] for n, v in everything.items()}) for side in sides)
        calm += not measure_drift(_FLIGHTS, before, after).has_drifted
    assert calm >= 95


@pytest.mark.parametrize("side", [0, 1])
def test_where_a_side_has_no_rows_everything_counts_as_drifted(side: int) -> None:
    nothing = {name: values[:0] for name, values in make_columns(1).items()}
    sides = [make_columns(100), make_columns(100)]
    sides[side] = nothing
    report = compare(sides[0], sides[1], _FLIGHTS)
    assert all(drift.has_drifted and math.isnan(drift.value) for drift in report.columns)
    assert all(math.isnan(drift.p_value) and math.isnan(drift.adjusted_p_value) for drift in report.columns)
    assert report.has_drifted


@pytest.mark.parametrize("moved", [4.0, 6.0])
def test_a_constant_that_moves_is_seen(moved: float) -> None:
    report = compare(make_toy(amount=[5.0] * 100), make_toy(amount=[moved] * 100))
    found = {drift.statistic: drift.value for drift in report.columns if drift.column == "amount" and drift.has_drifted}
    assert found == {_INDEX: pytest.approx(2 * (1 - 1e-4) * math.log(1e4)), _KS: 1.0}


def test_a_column_that_is_gone_has_drifted_in_all() -> None:
    before = make_toy(amount=np.arange(300.0), color=["a", "b", "c"] * 100, is_new=[0.0, 1.0, 1.0] * 100)
    after = make_toy(id=[1.0] * 300)
    for report in (compare(before, after), compare(after, before)):
        found = {(drift.column, drift.statistic): drift.value for drift in report.columns if drift.has_drifted}
        assert {key: found[key] for key in (("amount", _KS), ("color", _JS), ("is_new", _TRUE))} == {
            ("amount", _KS): 1,
            ("color", _JS): 1,
            ("is_new", _TRUE): 1,
        }
        assert drifted(report) == {"amount", "color", "is_new"}


def test_one_row_without_an_often_missing_value_is_not_drift() -> None:
    before = make_toy(amount=[1.0, math.nan] * 100, is_new=[1.0, math.nan] * 100)
    assert not compare(before, make_toy(id=[1.0])).has_drifted


def test_a_column_that_is_missing_on_both_sides_has_not_drifted() -> None:
    report = compare(make_toy(id=[1.0] * 50), make_toy(id=[1.0] * 60))
    assert {drift.value for drift in report.columns} == {0}
    assert not report.has_drifted


def _codes(random: np.random.Generator, rows: int, shares: NDArray[np.float64]) -> Columns:
    codes = np.array([f"N{number:04}" for number in range(len(shares))], dtype=object)
    return make_toy(color=random.choice(codes, rows, p=shares / shares.sum()))


@pytest.mark.parametrize("shares", [np.ones(1_000), 1 / np.arange(1.0, 1_001)], ids=["alike", "few frequent"])
@pytest.mark.parametrize(("rows", "reference_rows"), [(300, 300), (300, 20_000), (2_000, 2_000)])
def test_more_categories_than_a_profile_names_are_no_drift(
    rows: int, reference_rows: int, shares: NDArray[np.float64]
) -> None:
    """Those named are the ones that came most often, by chance too, and come less often elsewhere."""
    random = np.random.default_rng(0)
    trials = ((_codes(random, reference_rows, shares), _codes(random, rows, shares)) for _ in range(20))
    assert sum(compare(before, after).has_drifted for before, after in trials) <= 1


def test_a_frequent_category_among_too_many_is_seen_when_it_is_renamed() -> None:
    random, shares = np.random.default_rng(0), 1 / np.arange(1.0, 1_001)
    before, after = _codes(random, 20_000, shares), _codes(random, 2_000, shares)
    renamed = np.where(after["color"] == "N0000", "other", after["color"])
    assert drifted(compare(before, make_toy(color=renamed))) == {"color"}


def test_an_outcome_that_is_not_known_yet_is_left_out() -> None:
    before, after = make_columns(100, seed=1), make_columns(100, seed=2)
    whole = compare(before, after, _FLIGHTS)
    served = profile(_FLIGHTS.columns, after)
    found = measure_drift(_FLIGHTS, profile(_FLIGHTS.dataset_columns, before), served)
    assert {d.column for d in whole.columns} - {d.column for d in found.columns} == {"arrived_late"}


def _without(whole: Profile, *names: str) -> Profile:
    return replace(whole, columns={name: column for name, column in whole.columns.items() if name not in names})


@pytest.mark.parametrize(("column", "side"), [("carrier", 0), ("arrived_late", 0), ("carrier", 1)])
def test_a_profile_that_lacks_a_column_is_refused(column: str, side: int) -> None:
    sides = [profile(_FLIGHTS.dataset_columns, make_columns(10))] * 2
    sides[side] = _without(sides[side], column)
    owner = ("reference", "dataset")[side]
    with pytest.raises(DataError, match=f"the profile of the {owner} has no column {column}"):
        measure_drift(_FLIGHTS, *sides)


def test_a_profile_of_another_kind_is_refused() -> None:
    right = profile(_FLIGHTS.dataset_columns, make_columns(10))
    wrong = replace(right, columns={**right.columns, "carrier": right.columns["distance"]})
    with pytest.raises(DataError, match="has carrier as NumberProfile; the contract says text"):
        measure_drift(_FLIGHTS, wrong, right)
