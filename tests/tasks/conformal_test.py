"""Intervals and sets: they cover what they say, everywhere, and are as wide as rows are hard."""

import math
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.properties import PROPERTY
from support.tasks import SPECIES, make_binary, make_multiclass, make_regression

from athanor.errors import DataError
from athanor.release.manifest import Calibration, Intervals, Sets
from athanor.tasks.conformal import apply_intervals, apply_sets, find_intervals, find_sets
from athanor.tasks.tasks import task_of

_ROWS: Final = 4_000


def _numbers(seed: int, rows: int = _ROWS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Outcomes and what was predicted: skewed, and the larger the less certain."""
    random = np.random.default_rng(seed)
    values = random.gamma(2.0, 10.0, rows)
    return values + (random.exponential(1.0, rows) - 0.7) * (0.5 + values / 5), values


def _classes(seed: int, rows: int = _ROWS) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Categories, and probabilities that are right about them; the last category is rare."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet([1.2, 0.9, 0.2], rows)
    return (random.random((rows, 1)) > probabilities.cumsum(axis=1)).sum(axis=1), probabilities


def _covers(intervals: Intervals, y: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.bool_]:
    lower, upper = apply_intervals(intervals, values)
    return (lower <= y) & (y <= upper)


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.95])
def test_intervals_hold_the_stated_share_of_later_outcomes(coverage: float) -> None:
    """Over twenty worlds: of 90 % intervals within 88 to 92 in each, and about 90 on average."""
    found = []
    for seed in range(20):
        covered = _covers(find_intervals(*_numbers(seed), coverage), *_numbers(seed + 1_000, 20_000))
        found.append(covered.mean())
    assert all(abs(share - coverage) < 0.02 for share in found)
    assert np.mean(found) == pytest.approx(coverage, abs=0.006)
    assert np.mean(found) > coverage - 0.002


def test_easy_and_hard_rows_are_covered_alike_by_narrow_and_wide_intervals() -> None:
    intervals = find_intervals(*_numbers(0, 20_000), 0.9)
    y, values = _numbers(1, 40_000)
    covered, width = _covers(intervals, y, values), np.subtract(*apply_intervals(intervals, values)[::-1])
    tenths = np.searchsorted(np.quantile(values, np.linspace(0, 1, 11)[1:-1]), values)
    shares, widths = ([each[tenths == tenth].mean() for tenth in range(10)] for each in (covered, width))
    assert all(0.86 < share < 0.94 for share in shares)
    assert widths == sorted(widths)
    assert widths[-1] > 5 * widths[0]


def test_as_many_outcomes_lie_below_as_above() -> None:
    intervals = find_intervals(*_numbers(0, 20_000), 0.8)
    y, values = _numbers(1, 40_000)
    lower, upper = apply_intervals(intervals, values)
    assert ((y < lower).mean(), (y > upper).mean()) == pytest.approx((0.1, 0.1), abs=0.01)


@PROPERTY
@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0]) | st.floats(-9, 9), min_size=1, max_size=60), st.sampled_from([0.5, 0.9])
)
def test_the_ends_are_the_ranks_that_theory_asks_for(outcomes: list[float], coverage: float) -> None:
    """In a single bin: of n + 1 distances, the further one lies above the k-th largest with probability k / (n + 1)."""
    y, tail = np.array(outcomes), (1 - coverage) / 2
    if len(y) < 1 / tail - 1 - 1e-9:
        with pytest.raises(
            DataError, match=f"need {math.ceil(1 / tail - 1 - 1e-9)} rows or more in the validated parts"
        ):
            find_intervals(y, np.zeros(len(y)), coverage)
        return
    found = find_intervals(y, np.zeros(len(y)), coverage)
    assert found.edges == ()
    beyond = int((len(y) + 1) * tail + 1e-9)
    assert (found.lower[0], found.upper[0]) == (min(0.0, np.sort(y)[beyond - 1]), max(0.0, np.sort(y)[-beyond]))


@pytest.mark.parametrize("bias", [-50.0, 50.0])
def test_the_interval_of_a_biased_model_holds_its_value_and_the_outcomes(bias: float) -> None:
    y, values = _numbers(0)
    intervals = find_intervals(y + bias, values, 0.9)
    lower, upper = apply_intervals(intervals, values)
    assert ((lower <= values) & (values <= upper)).all()
    assert _covers(intervals, _numbers(1)[0] + bias, _numbers(1)[1]).mean() > 0.9


@PROPERTY
@given(st.lists(st.integers(0, 12), min_size=40, max_size=2_000), st.integers(0, 99))
def test_each_bin_has_enough_rows_and_no_value_on_an_edge(predicted: list[int], seed: int) -> None:
    values = np.array(predicted, dtype=np.float64)
    y = values + np.random.default_rng(seed).normal(size=len(values))
    found = find_intervals(y, values, 0.8)
    counts = np.bincount(np.searchsorted(found.edges, values, side="right"), minlength=len(found.lower))
    assert len(found.lower) == len(found.upper) == len(found.edges) + 1 <= 10
    assert counts.min() >= 9
    assert list(found.edges) == sorted(set(found.edges))
    assert not set(found.edges) & set(values.tolist())
    assert all(low <= high for low, high in zip(found.lower, found.upper, strict=True))


def test_many_rows_have_ten_bins_of_equal_counts() -> None:
    found = find_intervals(*_numbers(0, 20_000), 0.9)
    counts = np.bincount(np.searchsorted(found.edges, _numbers(0, 20_000)[1], side="right"))
    assert counts.tolist() == [2_000] * 10


def _share_in_sets(sets: Sets, y: NDArray[np.int64], probabilities: NDArray[np.float64], category: int) -> float:
    is_in = apply_sets(sets, dict(zip(SPECIES, probabilities.T, strict=True)))
    return float(is_in[SPECIES[category]][y == category].mean())


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_sets_hold_the_stated_share_of_each_category_rare_ones_too(coverage: float) -> None:
    shares = [
        [
            _share_in_sets(find_sets(*_classes(seed), SPECIES, coverage), *_classes(seed + 1_000), each)
            for each in (0, 1, 2)
        ]
        for seed in range(20)
    ]
    assert np.mean(shares, axis=0) == pytest.approx(coverage, abs=0.015)


@PROPERTY
@given(st.lists(st.sampled_from([0.1, 0.5]) | st.floats(0, 1), max_size=40))
def test_a_threshold_is_the_rank_that_theory_asks_for(of_label: list[float]) -> None:
    probabilities = np.column_stack([of_label, 1 - np.array(of_label)])
    found = find_sets(np.zeros(len(of_label), dtype=np.int64), probabilities, ("a", "b"), 0.9)
    beyond = int((len(of_label) + 1) * 0.1 + 1e-9)
    assert found.thresholds["a"] == pytest.approx(sorted(of_label)[beyond - 1] if beyond else 0.0, abs=1.1e-6)
    assert found.thresholds["b"] == 0.0


def test_rounding_puts_no_row_out_of_its_set() -> None:
    """Of a tree with few leaves, half of all rows have the probability of the threshold."""
    y, probabilities = np.zeros(100, dtype=np.int64), np.repeat([[0.3, 0.7], [0.8, 0.2]], 50, axis=0)
    sets = find_sets(y, probabilities, ("a", "b"), 0.9)
    assert apply_sets(sets, {"a": np.array([0.3, 0.3 - 1e-7, 0.299], np.float32).astype(np.float64)})["a"].tolist() == [
        1,
        1,
        0,
    ]


def test_a_category_that_no_row_had_is_in_every_set() -> None:
    sets = find_sets(np.array([0, 1] * 50), np.full((100, 3), 1 / 3), SPECIES, 0.9)
    is_in = apply_sets(sets, {name: np.array([0.0, 1.0]) for name in SPECIES})
    assert {name: values.tolist() for name, values in is_in.items()} == {
        "Adelie": [0, 1],
        "Chinstrap": [0, 1],
        "Gentoo": [1, 1],
    }


def _halves(
    y: NDArray[np.generic], outputs: NDArray[np.float64]
) -> list[tuple[NDArray[np.generic], NDArray[np.float64]]]:
    return [(y[:1_000], outputs[:1_000]), (y[1_000:], outputs[1_000:])]


def test_a_task_finds_what_its_answers_then_hold() -> None:
    """From two folds: of numbers, of categories, and of what is true or not."""
    for task, world in (
        (
            task_of(make_regression(with_interval=True), 0.9),
            lambda seed: (_numbers(seed)[0], _numbers(seed)[1][:, None]),
        ),
        (task_of(make_multiclass(with_sets=True), 0.9), _classes),
        (
            task_of(make_binary(with_sets=True), 0.9),
            lambda seed: (np.minimum(_classes(seed)[0], 1), 1 - _classes(seed)[1][:, :1]),
        ),
    ):
        doubt = task.find_doubt(_halves(*world(1)), 0.9)
        y, outputs = world(2)
        assert task.evaluate(y, task.finish(outputs, doubt=doubt))["coverage"] == pytest.approx(0.9, abs=0.02)


def test_sets_are_found_from_calibrated_probabilities() -> None:
    task, calibration = task_of(make_binary(with_sets=True), 0.9), Calibration(slope=1.0, intercept=-3.0)
    y, outputs = np.minimum(_classes(1)[0], 1), 1 - _classes(1)[1][:, :1]
    doubt = task.find_doubt(_halves(y, outputs), 0.9, calibration)
    assert task.evaluate(y, task.finish(outputs, calibration, doubt))["coverage"] == pytest.approx(0.9, abs=0.02)
    assert task.evaluate(y, task.finish(outputs, None, doubt))["coverage"] != pytest.approx(0.9, abs=0.02)


def test_a_number_is_clipped_before_its_bin_is_found() -> None:
    """The interval belongs to what is answered."""
    task = task_of(make_regression(with_interval=True, label="uint32", minimum=0), 0.8)
    y = np.random.default_rng(0).poisson(2.0, 2_000).astype(np.float64)
    doubt = task.find_doubt([(y, np.full((2_000, 1), -5.0))], 0.8)
    answers = task.finish(np.array([[-1.0], [0.0]]), doubt=doubt)
    assert {name: values[0] == values[1] for name, values in answers.items()} == dict.fromkeys(answers, True)
    assert answers["mass_to"][0] == 4
