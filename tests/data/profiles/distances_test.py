"""Distances and p-values against formulas in plain Python, against scipy on samples, and against chance itself."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from support.properties import PROPERTY

from athanor.data.profiles.distances import (
    adjust_p_values,
    homogeneity_p_value,
    jensen_shannon,
    kolmogorov_smirnov_p_value,
    population_stability,
    rate_change,
)

_COUNTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=8)
_P_VALUES = st.lists(st.floats(0, 1), max_size=6)


def _bins(pairs: Sequence[tuple[int, int]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    bins = np.array(pairs, dtype=np.int64).T
    assume(bins.sum(axis=1).min() > 0)
    return bins


def _shares(pairs: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    first, second = (sum(side) for side in zip(*pairs, strict=True))
    return [(a / first, b / second) for a, b in pairs]


@PROPERTY
@given(_COUNTS)
def test_the_population_stability_index_is_the_symmetric_divergence(pairs: list[tuple[int, int]]) -> None:
    bins = _bins(pairs)
    floored = [(max(a, 1e-4), max(b, 1e-4)) for a, b in _shares(pairs)]
    assert population_stability(bins) == pytest.approx(sum((b - a) * math.log(b / a) for a, b in floored), abs=1e-9)


@PROPERTY
@given(_COUNTS)
def test_the_jensen_shannon_distance_is_the_root_of_the_divergence_from_the_middle(
    pairs: list[tuple[int, int]],
) -> None:
    def bits(p: float, q: float) -> float:
        return p * math.log2(p / ((p + q) / 2)) if p else 0.0

    bins = _bins(pairs)
    divergence = sum(bits(a, b) + bits(b, a) for a, b in _shares(pairs)) / 2
    assert jensen_shannon(bins) ** 2 == pytest.approx(divergence, abs=1e-9)


def test_distances_have_their_ends() -> None:
    same, apart = np.array([[1, 2, 3], [10, 20, 30]]), np.array([[4, 0], [0, 2]])
    assert (population_stability(same), jensen_shannon(same), rate_change(same)) == pytest.approx((0, 0, 0), abs=1e-7)
    assert (jensen_shannon(apart), rate_change(apart)) == (1, 1)
    assert population_stability(apart) == pytest.approx(2 * (1 - 1e-4) * math.log(1e4))


def test_a_change_of_rate_is_absolute() -> None:
    assert rate_change(np.array([[1, 3], [3, 1]])) == rate_change(np.array([[3, 1], [1, 3]])) == 0.5


@PROPERTY
@given(st.lists(st.tuples(st.integers(5, 60), st.integers(5, 60)), min_size=2, max_size=8))
def test_full_bins_are_compared_by_pearsons_test(pairs: list[tuple[int, int]]) -> None:
    table = np.array(pairs)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    assume(expected.min() >= 5)
    chi_squared = sum((o - e) ** 2 / e for o, e in zip(table.ravel(), expected.ravel(), strict=True))
    assert homogeneity_p_value(_bins(pairs)) == pytest.approx(stats.chi2.sf(chi_squared, len(pairs) - 1), abs=1e-9)


@PROPERTY
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_two_bins_with_few_values_are_compared_exactly(a: int, b: int, c: int, d: int) -> None:
    """The probability of each table with these sums is a ratio of binomial coefficients; those no likelier count."""
    table = np.array([[a, b], [c, d]])
    assume(table.sum(axis=0).min() > 0 and table.sum(axis=1).min() > 0)
    assume((np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()).min() < 5)
    ways = {x: math.comb(a + b, x) * math.comb(c + d, a + c - x) for x in range(max(0, a - d), min(a + b, a + c) + 1)}
    expected = sum(way for way in ways.values() if way <= ways[a]) / sum(ways.values())
    assert homogeneity_p_value(table) == pytest.approx(expected, abs=1e-9)


def test_rare_bins_are_put_together() -> None:
    bins = np.array([[100, 1, 2, 60, 3], [100, 2, 1, 50, 4]])
    together = np.array([[100, 60, 6], [100, 50, 7]])
    assert homogeneity_p_value(bins) == pytest.approx(stats.chi2_contingency(together, correction=False).pvalue)


def test_a_last_bin_that_is_rare_joins_the_one_before() -> None:
    bins = np.array([[4, 4, 4, 4, 4], [3, 4, 4, 4, 5]])
    together = np.array([[8, 12], [7, 13]])
    assert homogeneity_p_value(bins) == pytest.approx(stats.chi2_contingency(together, correction=False).pvalue)


def test_where_all_but_one_bin_are_rare_the_rare_ones_stand_against_it() -> None:
    bins = np.array([[10_000, 20, 10, 0], [18, 1, 0, 3]])
    assert homogeneity_p_value(bins) == pytest.approx(stats.fisher_exact([[10_000, 30], [18, 4]]).pvalue)


@pytest.mark.parametrize("bins", [[[5], [7]], [[0, 5, 0], [0, 7, 0]]])
def test_a_single_bin_gives_a_p_value_of_one(bins: list[list[int]]) -> None:
    assert homogeneity_p_value(np.array(bins)) == 1


@PROPERTY
@given(_COUNTS)
def test_which_side_is_which_does_not_matter(pairs: list[tuple[int, int]]) -> None:
    bins = _bins(pairs)
    assert homogeneity_p_value(bins[::-1]) == pytest.approx(homogeneity_p_value(bins), abs=1e-9)


@pytest.mark.parametrize("sizes", [(30, 30), (30, 300), (2_000, 30), (200, 200)])
@pytest.mark.parametrize("exponent", [0, 1])
def test_samples_of_one_distribution_seldom_seem_to_differ(sizes: tuple[int, int], exponent: int) -> None:
    """Few bins or a hundred, of equal shares or with many rare ones: one in twenty is at most 0.05."""
    random = np.random.default_rng(0)
    for count in (3, 100):
        shares = 1 / np.arange(1.0, count + 1) ** exponent
        pairs = zip(*(random.multinomial(size, shares / shares.sum(), 500) for size in sizes), strict=True)
        p_values = np.array([homogeneity_p_value(np.array(pair)) for pair in pairs])
        assert np.mean(p_values <= 0.05) < 0.08
        assert np.mean(p_values <= 0.001) < 0.01


_SAMPLES = st.lists(st.integers(-9, 9), min_size=12, max_size=40)


@PROPERTY
@given(_SAMPLES, _SAMPLES)
def test_the_kolmogorov_smirnov_p_value_is_scipys(first: list[int], second: list[int]) -> None:
    expected = stats.ks_2samp(first, second, method="asymp")
    found = kolmogorov_smirnov_p_value(float(expected.statistic), len(first), len(second))
    assert found == pytest.approx(expected.pvalue, abs=1e-6)


@pytest.mark.parametrize("sizes", [(1, 1), (2, 2), (1, 50), (3, 4), (5, 5)])
def test_few_values_that_do_not_overlap_are_as_rare_as_they_are(sizes: tuple[int, int]) -> None:
    """By counting: of all ways to assign the ranks, two keep the samples apart. Scipy's limit gives 0."""
    ways = list(itertools.combinations(range(sum(sizes)), sizes[0]))
    apart = sum(way in (tuple(range(sizes[0])), tuple(range(sizes[1], sum(sizes)))) for way in ways)
    assert kolmogorov_smirnov_p_value(1.0, *sizes) == pytest.approx(apart / len(ways))


@pytest.mark.parametrize("sizes", [(2_100, 2_100), (1_200, 300_000), (20_000, 20_000)])
def test_the_limit_for_large_samples_is_close(sizes: tuple[int, int]) -> None:
    effective = round(sizes[0] * sizes[1] / sum(sizes))
    for scaled in np.linspace(0.3, 6, 30):
        largest = float(scaled / np.sqrt(effective))
        exact = stats.kstwo.sf(largest, effective)
        assert kolmogorov_smirnov_p_value(largest, *sizes) == pytest.approx(exact, abs=2e-5)


@PROPERTY
@given(_P_VALUES)
def test_holms_procedure_is_the_closure_of_bonferronis(p_values: list[float]) -> None:
    """A hypothesis is rejected if Bonferroni rejects every set of hypotheses that it is part of."""
    count = len(p_values)
    sets = [chosen for size in range(1, count + 1) for chosen in itertools.combinations(range(count), size)]
    of_set = {chosen: min(1.0, len(chosen) * min(p_values[index] for index in chosen)) for chosen in sets}
    expected = [max(of_set[chosen] for chosen in sets if index in chosen) for index in range(count)]
    assert adjust_p_values(np.array(p_values)).tolist() == pytest.approx(expected, abs=1e-12)


def test_nan_p_values_stay_nan() -> None:
    assert np.isnan(adjust_p_values(np.full(3, np.nan))).all()
