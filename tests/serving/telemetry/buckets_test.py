"""Buckets follow the contract's range of a column."""

from dataclasses import replace
from math import inf
from typing import Final

import pytest
from support.questions import PRICES, SPECIES

from athanor.contract.columns import Column
from athanor.serving.telemetry.buckets import (
    bounds_of_differences,
    bounds_of_values,
    scale_of_differences,
    scale_of_values,
)

_PRICE: Final = PRICES.contract.prediction


def _with_range(minimum: float, maximum: float) -> Column:
    return replace(_PRICE, minimum=minimum, maximum=maximum)


@pytest.mark.parametrize(
    ("minimum", "maximum", "expected"),
    [
        (0, 1, [n / 20 for n in range(1, 21)]),
        (-50, 60, [-50 + 5.5 * n for n in range(1, 21)]),
        (1, 1, [1]),
        (0, 3_000, [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000]),
    ],
)
def test_values_are_spread_over_the_range(minimum: float, maximum: float, expected: list[float]) -> None:
    assert bounds_of_values(scale_of_values(_with_range(minimum, maximum))) == pytest.approx(expected)


@pytest.mark.parametrize(("minimum", "maximum"), [(0, inf), (-inf, inf), (-inf, 0), (2e7, 3e7), (-1e300, 1e300)])
def test_bounds_ascend_within_any_range(minimum: float, maximum: float) -> None:
    bounds = bounds_of_values(scale_of_values(_with_range(minimum, maximum)))
    assert bounds
    assert list(bounds) == sorted(set(bounds))
    assert minimum <= bounds[0]
    assert bounds[-1] <= maximum


def test_differences_of_probabilities_have_fine_buckets_and_none_beyond_one() -> None:
    share = next(column for column in SPECIES.contract.answer if column.name == "gentoo_probability")
    expected = [0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
    assert list(bounds_of_differences(scale_of_differences(share))) == expected


def test_differences_of_unbounded_numbers_reach_a_million() -> None:
    assert bounds_of_differences(scale_of_differences(_PRICE))[-1] == 5e6


def test_categories_and_booleans_are_equal_or_not() -> None:
    columns = [SPECIES.contract.prediction, *(c for c in SPECIES.contract.answer if c.name.startswith("may_be"))]
    assert {bounds_of_differences(scale_of_differences(column)) for column in columns} == {(0.0,)}
