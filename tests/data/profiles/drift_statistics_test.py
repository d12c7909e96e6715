"""Statistics of drift against scipy and against counting in plain Python."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance
from support.drifts import TOY, compare, find, make_toy
from support.properties import PROPERTY

from athanor.data.profiles.drift import Statistic, measure_drift
from athanor.data.profiles.profile import profile

_INDEX, _KS, _JS = Statistic.POPULATION_STABILITY, Statistic.KOLMOGOROV_SMIRNOV, Statistic.JENSEN_SHANNON
_MISSING, _TRUE = Statistic.MISSING_RATE, Statistic.TRUE_RATE

_NUMBERS = st.lists(st.sampled_from([math.nan, 0.0, 1.0, 2.5]) | st.floats(0, 9), min_size=1, max_size=40)
_SOME_NUMBERS = _NUMBERS.filter(lambda values: sum(map(math.isfinite, values)) > 1)
_TEXTS = st.lists(st.sampled_from(["", "a", "b", "c", "d", "e"]), min_size=1, max_size=40)
_SOME_TEXTS = _TEXTS.filter(any)


def _present(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


@PROPERTY
@given(_SOME_NUMBERS, _SOME_NUMBERS)
def test_numbers_are_compared_by_the_kolmogorov_smirnov_distance(before: list[float], after: list[float]) -> None:
    found = find(compare(make_toy(amount=before), make_toy(amount=after)), "amount", _KS)
    expected = stats.ks_2samp(_present(before), _present(after), method="asymp")
    assert found.value == pytest.approx(expected.statistic, abs=1e-12)
    # Where few values do not overlap scipy's limit says 0.
    rarest = 2 / math.comb(len(_present(before)) + len(_present(after)), len(_present(before)))
    assert found.p_value == pytest.approx(max(expected.pvalue, rarest), abs=1e-9)


@PROPERTY
@given(_SOME_NUMBERS, _SOME_NUMBERS, st.integers(2, 6))
def test_a_sketch_changes_the_distance_by_less_than_documented(
    before: list[float], after: list[float], most: int
) -> None:
    columns = TOY.dataset_columns
    exact = find(compare(make_toy(amount=before), make_toy(amount=after)), "amount", _KS).value
    sides = [[profile(columns, make_toy(amount=side), knots) for knots in (most, None)] for side in (before, after)]
    for one, other in ((0, 1), (1, 0), (0, 0)):
        found = find(measure_drift(TOY, sides[0][one], sides[1][other]), "amount", _KS).value
        sketched = (one == 0) + (other == 0)
        assert abs(found - exact) < sketched / (most - 1)


@PROPERTY
@given(_SOME_TEXTS, _SOME_TEXTS)
def test_texts_are_compared_by_the_jensen_shannon_distance(before: list[str], after: list[str]) -> None:
    found = find(compare(make_toy(color=before), make_toy(color=after)), "color", _JS)
    counts = [[side.count(name) for name in "abcde"] for side in (before, after)]
    assert found.value == pytest.approx(distance.jensenshannon(*counts, base=2), abs=1e-9)


def _index(before: Sequence[Any], after: Sequence[Any]) -> float:
    """The population stability index of values that are names of bins."""
    counts = Counter(before), Counter(after)
    total = 0.0
    for bin_ in {*before, *after}:
        first, second = (max(c[bin_] / c.total(), 1e-4) for c in counts)
        total += (second - first) * math.log(second / first)
    return total


@PROPERTY
@given(_TEXTS, _TEXTS)
def test_the_index_of_texts_is_over_the_categories_of_the_reference(before: list[str], after: list[str]) -> None:
    found = find(compare(make_toy(color=before), make_toy(color=after)), "color", _INDEX).value
    binned = [name if name in before or not name else "further" for name in after]
    assert found == pytest.approx(_index(before, binned), abs=1e-9)


@PROPERTY
@given(_NUMBERS, _NUMBERS)
def test_the_index_of_numbers_is_over_the_deciles_of_the_reference(before: list[float], after: list[float]) -> None:
    found = find(compare(make_toy(amount=before), make_toy(amount=after)), "amount", _INDEX).value
    ranked = sorted(_present(before))
    deciles = [ranked[-(-len(ranked) * tenth // 10) - 1] for tenth in range(1, 10)] if ranked else []

    def bin_of(value: float) -> str:
        if math.isnan(value):
            return "missing"
        return f"only {value}" if deciles.count(value) > 1 else f"bin {sum(decile < value for decile in deciles)}"

    assert found == pytest.approx(_index([bin_of(v) for v in before], [bin_of(v) for v in after]), abs=1e-9)


@PROPERTY
@given(_NUMBERS, _NUMBERS)
def test_the_share_of_missing_values_is_compared(before: list[float], after: list[float]) -> None:
    report = compare(make_toy(amount=before), make_toy(amount=after))
    expected = abs(np.isnan(before).mean() - np.isnan(after).mean())
    assert find(report, "amount", _MISSING).value == pytest.approx(expected, abs=1e-12)


def test_of_a_column_of_instants_the_share_of_missing_values_is_compared() -> None:
    nothing, some = np.datetime64("NaT"), np.datetime64("2013-01-01", "us")
    found = find(compare(make_toy(seen=[some] * 300), make_toy(seen=[nothing, some] * 150)), "seen", _MISSING)
    assert (found.value, found.has_drifted) == (0.5, True)


def test_the_share_of_true_values_is_among_the_present() -> None:
    before, after = [1.0] * 150 + [0.0] * 50 + [math.nan] * 40, [1.0] * 30 + [0.0] * 70
    found = find(compare(make_toy(is_new=before), make_toy(is_new=after)), "is_new", _TRUE)
    assert found.value == pytest.approx(0.45)
    table = [[150, 50], [30, 70]]
    assert found.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, abs=1e-12)


@PROPERTY
@given(_NUMBERS, _TEXTS)
def test_nothing_drifts_from_itself(numbers: list[float], texts: list[str]) -> None:
    rows = min(len(numbers), len(texts))
    values = make_toy(amount=numbers[:rows], color=texts[:rows], is_new=np.isnan(numbers[:rows]).astype(float))
    report = compare(values, values)
    assert [drift.value for drift in report.columns] == pytest.approx([0] * len(report.columns), abs=1e-7)
    assert not report.has_drifted
