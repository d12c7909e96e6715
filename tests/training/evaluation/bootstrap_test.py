"""Intervals of metrics: against scikit-learn, against theory, and against themselves."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    r2_score,
    recall_score,
    roc_auc_score,
)
from support.evidence import TASK, answer
from support.tasks import make_multiclass, make_regression
from threadpoolctl import threadpool_limits

from athanor.errors import DataError, GateError
from athanor.release.record import Estimate
from athanor.tasks.tasks import task_of
from athanor.training.evaluation.bootstrap import RESAMPLES, estimate, paired_interval
from athanor.training.evaluation.evidence import Rows
from athanor.training.evaluation.metrics import evaluate

_METRICS = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "brier_score": brier_score_loss,
    "log_loss": log_loss,
}


def _make_world(rows: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels, and probabilities that are right about them; with ties."""
    random = np.random.default_rng(seed)
    probabilities = random.beta(1, 3, rows).round(3)
    return (random.random(rows) < probabilities).astype(np.int64), probabilities


def _estimate(labels: NDArray[np.int64], probabilities: NDArray[np.float64], seed: int) -> Mapping[str, Estimate]:
    return estimate(TASK, Rows({}, None, labels), answer(probabilities), seed)


def _evaluate(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    return evaluate(TASK, Rows({}, None, labels), answer(probabilities))


def _compare(
    metric: str,
    labels: NDArray[np.int64],
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    return paired_interval(TASK, metric, Rows({}, None, labels), answer(ours), answer(theirs), seed, confidence)


def _blur(probabilities: NDArray[np.float64], by: float) -> NDArray[np.float64]:
    noise = np.random.default_rng(1).normal(0, by, len(probabilities))
    return np.asarray(np.clip(probabilities + noise, 0.001, 0.999))


def test_an_interval_equals_that_of_explicit_resamples() -> None:
    labels, probabilities = _make_world(150)
    random, resampled = np.random.default_rng(7), []
    for _ in range(RESAMPLES):
        drawn = random.integers(0, 150, 150)
        resampled.append([metric(labels[drawn], probabilities[drawn]) for metric in _METRICS.values()])
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    found = _estimate(labels, probabilities, seed=7)
    assert [found[name].low for name in _METRICS] == pytest.approx(low, abs=1e-9)
    assert [found[name].high for name in _METRICS] == pytest.approx(high, abs=1e-9)


def test_an_estimate_is_the_metric_itself_within_its_interval() -> None:
    labels, probabilities = _make_world(2_000)
    found = _estimate(labels, probabilities, seed=0)
    assert {name: of.value for name, of in found.items()} == _evaluate(labels, probabilities)
    assert all(of.low < of.value < of.high for of in found.values())


def test_an_interval_has_its_theoretical_width() -> None:
    """A Brier score is a mean: its standard error has a formula."""
    labels, probabilities = _make_world(5_000)
    found = _estimate(labels, probabilities, seed=0)["brier_score"]
    standard_error = np.std((labels - probabilities) ** 2) / np.sqrt(5_000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * standard_error, rel=0.15)


def test_most_intervals_hold_the_metric_of_all_rows_there_could_be() -> None:
    """Of a hundred worlds; with 95 % each, fewer than 85 would be a chance of one in ten thousand."""
    labels, probabilities = _make_world(200_000, seed=1_000)
    truth = _evaluate(labels, probabilities)["roc_auc"]
    intervals = [_estimate(*_make_world(400, seed), seed=0)["roc_auc"] for seed in range(100)]
    assert sum(found.low <= truth <= found.high for found in intervals) >= 85


def test_the_same_seed_gives_the_same_estimate_and_another_another() -> None:
    world = _make_world(500)
    assert _estimate(*world, seed=1) == _estimate(*world, seed=1)
    assert _estimate(*world, seed=1) != _estimate(*world, seed=2)


def test_the_number_of_threads_changes_nothing() -> None:
    labels, probabilities = _make_world(50_000)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append((_estimate(labels, probabilities, 0), _pair(labels, probabilities, "brier_score", by=0.1)))
    assert found[0] == found[1]


def _pair(labels: NDArray[np.int64], ours: NDArray[np.float64], metric: str, by: float) -> object:
    return _compare(metric, labels, ours, _blur(ours, by), seed=0)


@pytest.mark.parametrize("metric", _METRICS)
def test_a_difference_is_positive_where_we_are_better(metric: str) -> None:
    labels, ours = _make_world(3_000)
    theirs = _blur(ours, 0.2)
    better, worse = _compare(metric, labels, ours, theirs, 0), _compare(metric, labels, theirs, ours, 0)
    assert 0 < better.low < better.value < better.high
    assert (worse.low, worse.value, worse.high) == pytest.approx((-better.high, -better.value, -better.low))
    gain = abs(_evaluate(labels, ours)[metric] - _evaluate(labels, theirs)[metric])
    assert better.value == pytest.approx(gain)


@pytest.mark.parametrize("metric", _METRICS)
def test_all_models_see_the_same_resamples(metric: str) -> None:
    """With resamples of its own each, a model would differ from itself, and a pair be as uncertain as its parts."""
    labels, ours = _make_world(3_000)
    itself = _compare(metric, labels, ours, ours.copy(), seed=0)
    assert (itself.low, itself.value, itself.high) == (0, 0, 0)
    pair, alone = _compare(metric, labels, ours, _blur(ours, 0.02), 0), _estimate(labels, ours, 0)[metric]
    assert pair.high - pair.low < (alone.high - alone.low) / 2


def test_more_confidence_makes_a_wider_interval() -> None:
    labels, ours = _make_world(1_000)
    narrow, wide = (_compare("roc_auc", labels, ours, _blur(ours, 0.1), 0, share) for share in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_resamples_without_the_rarer_label_are_drawn_again() -> None:
    labels, probabilities = np.eye(1, 12, dtype=np.int64)[0], np.linspace(0.9, 0.1, 12)
    found = _estimate(labels, probabilities, seed=0)
    assert found["roc_auc"].value == found["roc_auc"].low == found["roc_auc"].high == 1


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1])
def test_an_invalid_probability_is_not_estimated(wrong: float) -> None:
    labels, probabilities = _make_world(50)
    improbable = np.where(np.arange(50) == 9, wrong, probabilities)
    with pytest.raises(
        GateError,
        match=f"late_probability is invalid in 1 of 50 rows, and {wrong:g} in row 9; allowed is a number from 0",
    ):
        _estimate(labels, improbable, seed=0)
    with pytest.raises(GateError, match="in row 9"):
        _compare("roc_auc", labels, probabilities, improbable, seed=0)


def test_a_single_label_cannot_be_estimated() -> None:
    with pytest.raises(DataError, match="all 9 rows have the label"):
        _estimate(np.ones(9, dtype=np.int64), np.full(9, 0.5), seed=0)


def _make_species(rows: int, rare: float = 0.3) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Categories, and probabilities that are right about them."""
    random = np.random.default_rng(3)
    outputs = random.dirichlet([3.0, 3.0, 6 * rare], rows)
    return (random.random((rows, 1)) > outputs.cumsum(axis=1)).sum(axis=1), outputs


def test_intervals_of_categories_equal_those_of_explicit_resamples() -> None:
    """Of a rare category, which some resamples lack: scikit-learn averages over those that occur."""
    task, (y, outputs) = task_of(make_multiclass()), _make_species(120, rare=0.05)
    assert 0 < (y == 2).sum() < 5
    found = estimate(task, Rows({}, None, y), task.finish(outputs), seed=5)
    random, resampled = np.random.default_rng(5), []
    for _ in range(RESAMPLES):
        drawn = random.integers(0, 120, 120)
        occurring, predicted = np.unique(y[drawn]), outputs[drawn].argmax(axis=1)
        areas = [roc_auc_score(y[drawn] == each, outputs[drawn, each]) for each in occurring]
        f1 = f1_score(y[drawn], predicted, average="macro")
        recall = recall_score(y[drawn], predicted, labels=occurring, average="macro")
        logarithms = log_loss(y[drawn], outputs[drawn], labels=[0, 1, 2])
        resampled.append(
            {"roc_auc": np.mean(areas), "macro_f1": f1, "balanced_accuracy": recall, "log_loss": logarithms}
        )
    for name in resampled[0]:
        low, high = np.quantile([each[name] for each in resampled], [0.025, 0.975])
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=1e-9)


def test_intervals_of_numbers_equal_those_of_explicit_resamples() -> None:
    task, random = task_of(make_regression()), np.random.default_rng(4)
    y = random.normal(size=99)
    values = y + random.normal(size=99)
    found = estimate(task, Rows({}, None, y), task.finish(values.reshape(-1, 1)), seed=6)
    random, resampled = np.random.default_rng(6), []
    for _ in range(RESAMPLES):
        drawn = random.integers(0, 99, 99)
        median = np.median(np.abs(y - values)[drawn])
        resampled.append({"r2": r2_score(y[drawn], values[drawn]), "median_absolute_error": median})
    for name in resampled[0]:
        low, high = np.quantile([each[name] for each in resampled], [0.025, 0.975])
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=1e-9)


def test_weights_of_rows_count_in_each_resample() -> None:
    """A row without weight is as good as none."""
    labels, probabilities = _make_world(400)
    half = np.arange(400) % 2
    rows = Rows({}, None, labels, weights=half.astype(np.float64))
    found = estimate(TASK, rows, answer(probabilities), seed=0)
    alone = _evaluate(labels[half == 1], probabilities[half == 1])
    assert {name: of.value for name, of in found.items()} == pytest.approx(alone)
    assert all(of.low < alone[name] < of.high for name, of in found.items())


def test_rows_of_a_group_are_drawn_together() -> None:
    """Each row is there four times: the interval is that of the single rows, not of four times as many."""
    labels, probabilities = _make_world(500)
    often = Rows({}, None, np.repeat(labels, 4), groups=np.repeat(np.arange(500), 4))
    assert estimate(TASK, often, answer(np.repeat(probabilities, 4)), seed=0)["brier_score"].low == pytest.approx(
        _estimate(labels, probabilities, seed=0)["brier_score"].low, abs=1e-12
    )
