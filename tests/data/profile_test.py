"""Profiles, and the population stability index against a formula in plain Python."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flights import make_columns
from support.properties import PROPERTY
from support.protos import Toy

from athanor.data.profile import Profile, population_stability, profile
from projects.flight_delay.model import MODEL

_CONTRACT = Toy().read()
_AMOUNT, _COLOR, _IS_NEW = map(_CONTRACT.column, ("amount", "color", "is_new"))
_NUMBERS = st.lists(st.sampled_from([math.nan, 0.0, 1.0, 2.5]) | st.floats(-100, 100), min_size=1, max_size=40)
_TEXTS = st.lists(st.sampled_from(["", "red", "green", "blue"]), min_size=1, max_size=40)


def _array(values: Sequence[float]) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.float64)


def _texts(values: Sequence[str]) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=object)


def _index(expected: Sequence[float], actual: Sequence[float]) -> float:
    """The population stability index of two distributions over the same bins."""
    pairs = [(max(e, 1e-4), max(a, 1e-4)) for e, a in zip(expected, actual, strict=True)]
    return sum((a - e) * math.log(a / e) for e, a in pairs)


def _number_shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    bins = Counter("missing" if math.isnan(v) else sum(v >= edge for edge in edges) for v in values)
    return [bins[key] / len(values) for key in (*range(len(edges) + 1), "missing")]


def _text_shares(values: Sequence[str], categories: Sequence[str]) -> list[float]:
    bins = Counter(value if value in categories or not value else "further" for value in values)
    return [bins[key] / len(values) for key in (*categories, "further", "")]


@PROPERTY
@given(_NUMBERS, _NUMBERS)
def test_drift_of_numbers_is_the_index_over_the_reference_bins(before: list[float], after: list[float]) -> None:
    reference = profile([_AMOUNT], {"amount": _array(before)}).columns["amount"]
    expected = _index(_number_shares(before, reference.edges), _number_shares(after, reference.edges))
    assert population_stability(reference, _AMOUNT, _array(after)) == pytest.approx(expected, abs=1e-9)


@PROPERTY
@given(_TEXTS, _TEXTS)
def test_drift_of_text_is_the_index_over_the_reference_categories(before: list[str], after: list[str]) -> None:
    reference = profile([_COLOR], {"color": _texts(before)}).columns["color"]
    expected = _index(_text_shares(before, reference.categories), _text_shares(after, reference.categories))
    assert population_stability(reference, _COLOR, _texts(after)) == pytest.approx(expected, abs=1e-9)


@PROPERTY
@given(_NUMBERS)
def test_nothing_drifts_from_itself(values: list[float]) -> None:
    reference = profile([_AMOUNT], {"amount": _array(values)}).columns["amount"]
    assert population_stability(reference, _AMOUNT, _array(values)) == pytest.approx(0, abs=1e-9)


def test_drift_has_no_value_without_rows() -> None:
    reference = profile([_AMOUNT], {"amount": _array([1, 2])}).columns["amount"]
    assert math.isnan(population_stability(reference, _AMOUNT, _array([])))


def test_bins_are_deciles() -> None:
    found = profile([_AMOUNT], {"amount": np.arange(1_001.0)}).columns["amount"]
    assert found.edges == pytest.approx([100, 200, 300, 400, 500, 600, 700, 800, 900])
    assert found.shares == pytest.approx([0.1] * 10, abs=2e-3)
    assert found.missing == 0


def test_deciles_that_coincide_are_one_edge() -> None:
    found = profile([_IS_NEW], {"is_new": _array([0] * 15 + [1] * 5)}).columns["is_new"]
    assert found.edges == (0.0, 1.0)
    assert found.shares == (0, 0.75, 0.25)


def test_shares_are_of_the_present_values() -> None:
    found = profile([_AMOUNT], {"amount": _array([math.nan, 5, 5, math.nan])}).columns["amount"]
    assert (found.missing, found.shares) == (0.5, (0, 1))


@pytest.mark.parametrize("values", [[], [math.nan, math.nan]])
def test_a_column_without_values_can_be_profiled_and_compared(values: list[float]) -> None:
    found = profile([_AMOUNT], {"amount": _array(values)}).columns["amount"]
    assert (found.edges, found.shares, found.missing) == ((), (0,), float(bool(values)))
    assert population_stability(found, _AMOUNT, _array([1.0])) > 1


def test_categories_stand_by_frequency_then_by_name() -> None:
    found = profile([_COLOR], {"color": _texts(["b", "c", "c", "", "a"])}).columns["color"]
    assert list(found.categories) == ["c", "a", "b"]
    assert list(found.shares) == [0.5, 0.25, 0.25, 0]
    assert found.missing == 0.2


def test_rare_categories_beyond_two_hundred_are_counted_together() -> None:
    names = [f"{n:03}" for n in range(250)]
    found = profile([_COLOR], {"color": _texts([*names, *names[:200]])}).columns["color"]
    assert found.categories == tuple(names[:200])
    assert found.shares[-1] == pytest.approx(50 / 450)


def test_timestamps_are_left_out() -> None:
    found = profile(MODEL.contract.dataset_columns, make_columns(20))
    assert found.rows == 20
    assert found.columns.keys() == {c.name for c in MODEL.contract.dataset_columns} - {"scheduled_departure"}


def test_profiles_travel_as_json() -> None:
    found = profile(MODEL.contract.dataset_columns, make_columns(200))
    assert Profile.model_validate_json(found.model_dump_json()) == found
