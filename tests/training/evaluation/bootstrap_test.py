"""Intervals of metrics: against scikit-learn, against theory, and against themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from support.properties import PROPERTY
from threadpoolctl import threadpool_limits

from athanor.errors import DataError, GateError
from athanor.training.evaluation.bootstrap import RESAMPLES, WeightedMetrics, estimate, paired_interval
from athanor.training.evaluation.metrics import GREATER_IS_BETTER, evaluate

_METRICS = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "brier_score": brier_score_loss,
    "log_loss": log_loss,
}

_ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]) | st.floats(0, 1),
        st.integers(0, 4),
    ),
    min_size=2,
    max_size=30,
).filter(lambda rows: {label for label, _, weight in rows if weight} == {0, 1})


def _make_world(rows: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels, and probabilities that are right about them; with ties."""
    random = np.random.default_rng(seed)
    probabilities = random.beta(1, 3, rows).round(3)
    return (random.random(rows) < probabilities).astype(np.int64), probabilities


def _blur(probabilities: NDArray[np.float64], by: float) -> NDArray[np.float64]:
    noise = np.random.default_rng(1).normal(0, by, len(probabilities))
    return np.asarray(np.clip(probabilities + noise, 0.001, 0.999))


@PROPERTY
@given(_ROWS)
def test_weighted_metrics_equal_scikit_learns(rows: list[tuple[int, float, int]]) -> None:
    labels, probabilities, weights = (np.array(values) for values in zip(*rows, strict=True))
    wanted = {name: metric(labels, probabilities, sample_weight=weights) for name, metric in _METRICS.items()}
    assert WeightedMetrics(labels, probabilities)(tuple(_METRICS), weights) == pytest.approx(wanted, rel=0, abs=1e-9)


@pytest.mark.parametrize("digits", [1, 2, 7, 16])
def test_that_holds_for_many_rows_with_many_ties_or_few(digits: int) -> None:
    random = np.random.default_rng(digits)
    labels, probabilities = random.integers(0, 2, 20_000), random.random(20_000).round(digits)
    weights = random.poisson(1, 20_000)
    wanted = {name: metric(labels, probabilities, sample_weight=weights) for name, metric in _METRICS.items()}
    assert WeightedMetrics(labels, probabilities)(tuple(_METRICS), weights) == pytest.approx(wanted, rel=0, abs=1e-9)


def test_an_interval_equals_that_of_explicit_resamples() -> None:
    labels, probabilities = _make_world(150)
    random, resampled = np.random.default_rng(7), []
    for _ in range(RESAMPLES):
        drawn = random.integers(0, 150, 150)
        resampled.append([metric(labels[drawn], probabilities[drawn]) for metric in _METRICS.values()])
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    found = estimate(labels, probabilities, seed=7)
    assert [found[name].low for name in _METRICS] == pytest.approx(low, abs=1e-9)
    assert [found[name].high for name in _METRICS] == pytest.approx(high, abs=1e-9)


def test_an_estimate_is_the_metric_itself_within_its_interval() -> None:
    labels, probabilities = _make_world(2_000)
    found = estimate(labels, probabilities, seed=0)
    assert {name: of.value for name, of in found.items()} == evaluate(labels, probabilities)
    assert all(of.low < of.value < of.high for of in found.values())


def test_an_interval_has_its_theoretical_width() -> None:
    """A Brier score is a mean: its standard error has a formula."""
    labels, probabilities = _make_world(5_000)
    found = estimate(labels, probabilities, seed=0)["brier_score"]
    standard_error = np.std((labels - probabilities) ** 2) / np.sqrt(5_000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * standard_error, rel=0.15)


def test_most_intervals_hold_the_metric_of_all_rows_there_could_be() -> None:
    """Of a hundred worlds; with 95 % each, fewer than 85 would be a chance of one in ten thousand."""
    labels, probabilities = _make_world(200_000, seed=1_000)
    truth = evaluate(labels, probabilities)["roc_auc"]
    intervals = [estimate(*_make_world(400, seed), seed=0)["roc_auc"] for seed in range(100)]
    assert sum(found.low <= truth <= found.high for found in intervals) >= 85


def test_the_same_seed_gives_the_same_estimate_and_another_another() -> None:
    world = _make_world(500)
    assert estimate(*world, seed=1) == estimate(*world, seed=1)
    assert estimate(*world, seed=1) != estimate(*world, seed=2)


def test_the_number_of_threads_changes_nothing() -> None:
    labels, probabilities = _make_world(50_000)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append((estimate(labels, probabilities, 0), _pair(labels, probabilities, "brier_score", by=0.1)))
    assert found[0] == found[1]


def _pair(labels: NDArray[np.int64], ours: NDArray[np.float64], metric: str, by: float) -> object:
    return paired_interval(metric, labels, ours, _blur(ours, by), seed=0)


@pytest.mark.parametrize("metric", GREATER_IS_BETTER)
def test_a_difference_is_positive_where_we_are_better(metric: str) -> None:
    labels, ours = _make_world(3_000)
    theirs = _blur(ours, 0.2)
    better, worse = paired_interval(metric, labels, ours, theirs, 0), paired_interval(metric, labels, theirs, ours, 0)
    assert 0 < better.low < better.value < better.high
    assert (worse.low, worse.value, worse.high) == pytest.approx((-better.high, -better.value, -better.low))
    gain = abs(evaluate(labels, ours)[metric] - evaluate(labels, theirs)[metric])
    assert better.value == pytest.approx(gain)


@pytest.mark.parametrize("metric", GREATER_IS_BETTER)
def test_all_models_see_the_same_resamples(metric: str) -> None:
    """With resamples of its own each, a model would differ from itself, and a pair be as uncertain as its parts."""
    labels, ours = _make_world(3_000)
    itself = paired_interval(metric, labels, ours, ours.copy(), seed=0)
    assert (itself.low, itself.value, itself.high) == (0, 0, 0)
    pair, alone = paired_interval(metric, labels, ours, _blur(ours, 0.02), 0), estimate(labels, ours, 0)[metric]
    assert pair.high - pair.low < (alone.high - alone.low) / 2


def test_more_confidence_makes_a_wider_interval() -> None:
    labels, ours = _make_world(1_000)
    narrow, wide = (paired_interval("roc_auc", labels, ours, _blur(ours, 0.1), 0, share) for share in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_resamples_without_the_rarer_label_are_drawn_again() -> None:
    labels, probabilities = np.eye(1, 12, dtype=np.int64)[0], np.linspace(0.9, 0.1, 12)
    found = estimate(labels, probabilities, seed=0)
    assert found["roc_auc"].value == found["roc_auc"].low == found["roc_auc"].high == 1


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1])
def test_an_invalid_probability_is_not_estimated(wrong: float) -> None:
    labels, probabilities = _make_world(50)
    improbable = np.where(np.arange(50) == 9, wrong, probabilities)
    with pytest.raises(
        GateError, match=f"1 of 50 probabilities are NaN or outside 0 to 1; the first is {wrong:g} in row 9"
    ):
        estimate(labels, improbable, seed=0)
    with pytest.raises(GateError, match="in row 9"):
        paired_interval("roc_auc", labels, probabilities, improbable, seed=0)


def test_a_single_label_cannot_be_estimated() -> None:
    with pytest.raises(DataError, match="all 9 rows have the label"):
        estimate(np.ones(9, dtype=np.int64), np.full(9, 0.5), seed=0)
