"""Drift on real flights: what a season changes is seen, and what chance changes is not."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from support.drifts import drifted

from athanor.contract.columns import Columns
from athanor.data.profiles.drift import Statistic, measure_drift
from athanor.data.profiles.profile import Profile, profile
from projects.flight_delay.model import MODEL

_COLUMNS = MODEL.contract.dataset_columns
_KS = Statistic.KOLMOGOROV_SMIRNOV

TakeMonth: TypeAlias = Callable[[int], Columns]


@pytest.fixture(scope="module")
def take_month(columns: Columns) -> TakeMonth:
    """The flights of a month of 2013, UTC, by its number."""
    months = columns["scheduled_departure"].astype("M8[M]")
    return lambda number: _take(columns, months == np.datetime64(f"2013-{number:02}"))


def _take(columns: Columns, rows: NDArray[Any]) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _profile(values: Columns, most_knots: int | None = None) -> Profile:
    return profile(_COLUMNS, values, most_knots)


def test_december_is_not_september(take_month: TakeMonth) -> None:
    report = measure_drift(MODEL.contract, _profile(take_month(9)), _profile(take_month(12)))
    assert drifted(report) >= {"arrived_late", "temperature", "dew_point"}
    assert drifted(report) & {"carrier", "origin", "destination", "distance", "scheduled_arrival_minute"} == set()
    found = {drift.column: drift.value for drift in report.columns if drift.statistic is Statistic.TRUE_RATE}
    assert found["arrived_late"] == pytest.approx(0.2, abs=0.01)


def test_halves_of_a_month_hardly_ever_differ(take_month: TakeMonth) -> None:
    """In at least 95 of 100 trials, which is what the contract's significance promises."""
    month, calm = take_month(3), 0
    rows = len(month["carrier"])
    for seed in range(100):
        halves = np.array_split(np.random.default_rng(seed).permutation(rows), 2)
        first, second = (_profile(_take(month, half)) for half in halves)
        calm += not measure_drift(MODEL.contract, first, second).has_drifted
    assert calm >= 95


def test_a_few_flights_hardly_ever_differ_from_the_year(columns: Columns) -> None:
    year, random, calm = _profile(columns), np.random.default_rng(0), 0
    for _ in range(300):
        few = _take(columns, random.integers(0, year.rows, 30))
        calm += not measure_drift(MODEL.contract, year, _profile(few)).has_drifted
    assert calm >= 0.95 * 300


def test_another_unit_is_seen_in_a_hundred_flights(take_month: TakeMonth) -> None:
    month = take_month(6)
    hundred = _take(month, np.random.default_rng(0).permutation(len(month["carrier"]))[:100])
    celsius = {**hundred, "temperature": (hundred["temperature"] - 32) / 1.8}
    reference = _profile(month)
    assert drifted(measure_drift(MODEL.contract, reference, _profile(hundred))) == set()
    assert drifted(measure_drift(MODEL.contract, reference, _profile(celsius))) == {"temperature"}


def test_the_sketch_in_a_release_finds_what_an_exact_profile_does(columns: Columns, take_month: TakeMonth) -> None:
    is_past = columns["scheduled_departure"] < np.datetime64("2013-10-01", "us")
    past = _take(columns, is_past)
    exact, sketch = _profile(past), Profile.from_json(profile(_COLUMNS, past).to_json())
    assert sketch != exact
    for month in (1, 9, 10, 12):
        later = _profile(take_month(month))
        by_exact, by_sketch = (measure_drift(MODEL.contract, reference, later) for reference in (exact, sketch))
        found = {(drift.column, drift.statistic): drift for drift in by_sketch.columns}
        for drift in by_exact.columns:
            same = found[drift.column, drift.statistic]
            assert same.has_drifted == drift.has_drifted
            assert same.value == pytest.approx(drift.value, abs=1e-3 if drift.statistic is _KS else 1e-2)
