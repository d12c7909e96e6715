"""Confidence intervals of metrics: the bootstrap over rows (Efron 1979), with percentile intervals.

The metric of a resample is a weighted metric, with the number of draws of each row as its weight. Whatever does not
depend on weights, such as the order of probabilities, is computed once, so that a resample costs little more than its
draw. Draws depend only on the seed and the labels: all models get the same resamples.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.release.record import Estimate
from athanor.training.evaluation.metrics import clip, evaluate, gain, measure

RESAMPLES: Final = 400
_CONFIDENCE: Final = 0.95


class WeightedMetrics:
    """Metrics of fixed probabilities under varying weights; equal to scikit-learn's with `sample_weight`."""

    def __init__(self, labels: NDArray[Any], probabilities: NDArray[np.float64]) -> None:
        """Sorts the probabilities once.

        Args:
            labels: 0 and 1, shape (n,); both must occur.
            probabilities: of label 1, shape (n,).
        """
        self._labels = np.asarray(labels).astype(np.bool_)
        self._probabilities = clip(np.asarray(probabilities, dtype=np.float64))
        self._order = np.argsort(self._probabilities, kind="stable")
        ascending = self._probabilities[self._order]
        self._positive_rows = self._order[self._labels[self._order]]
        positive = self._probabilities[self._positive_rows]
        # Equal probabilities are one threshold: for each positive row, the start and end of its threshold's rows among
        # all rows, and their start among the positive rows.
        self._begin, self._end = np.searchsorted(ascending, positive), np.searchsorted(ascending, positive, "right")
        self._positive_begin = np.searchsorted(positive, positive)

    def __call__(self, metrics: Sequence[str], weights: NDArray[np.int64]) -> dict[str, float]:
        """The requested metrics by name.

        Args:
            weights: integers from 0, shape (n,); at least one row of each label needs a positive weight.
        """
        values = {}
        if not {"roc_auc", "average_precision"}.isdisjoint(metrics):
            values = self._rank(weights)
        if not {"brier_score", "log_loss"}.isdisjoint(metrics):
            # `einsum`, because BLAS products depend on the number of threads.
            shares = weights / weights.sum()
            values["brier_score"] = float(np.einsum("i,i->", shares, self._squares))
            values["log_loss"] = float(np.einsum("i,i->", shares, self._logarithms))
        return {name: values[name] for name in metrics}

    def _rank(self, weights: NDArray[np.int64]) -> dict[str, float]:
        """The metrics that depend on the order only."""
        positive = weights[self._positive_rows]
        below, positive_below = _before(weights[self._order]), _before(positive)
        total, positives = below[-1], positive_below[-1]
        begin, end = below[self._begin], below[self._end]
        # Twice the number of pairs in which a positive row ranks above another row, ties counting half, minus the pairs
        # of two positive rows, which add up to the square in any order.
        pairs = positive @ (begin + end) - positives**2
        precision = (positives - positive_below[self._positive_begin]) / np.maximum(total - begin, 1)
        return {
            "roc_auc": float(pairs / (2 * positives * (total - positives))),
            "average_precision": float(np.einsum("i,i->", positive, precision) / positives),
        }

    @cached_property
    def _squares(self) -> NDArray[np.float64]:
        return np.asarray((self._labels - self._probabilities) ** 2)

    @cached_property
    def _logarithms(self) -> NDArray[np.float64]:
        label_probability = np.where(self._labels, self._probabilities, 1 - self._probabilities)
        # As scikit-learn does: one confident error would outweigh all other rows.
        return np.asarray(-np.log(np.maximum(label_probability, np.finfo(np.float64).eps)))


def estimate(labels: NDArray[Any], probabilities: NDArray[np.float64], seed: int) -> Mapping[str, Estimate]:
    """Every metric of `evaluate` with its 95 % interval, by name.

    Args:
        labels: 0 and 1, shape (n,); both must occur.
        probabilities: of label 1, shape (n,).

    Raises:
        DataError, GateError: as `evaluate` does.
    """
    values = evaluate(labels, probabilities)
    weighted = WeightedMetrics(labels, probabilities)
    resampled = [weighted(tuple(values), weights) for weights in _draw(labels, seed)]
    return {
        name: _summarise(value, [metrics[name] for metrics in resampled], _CONFIDENCE) for name, value in values.items()
    }


def paired_interval(
    metric: str,
    labels: NDArray[Any],
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    seed: int,
    confidence: float = _CONFIDENCE,
) -> Estimate:
    """The gain in one metric of `ours` over `theirs` on the same rows; positive if `ours` is better.

    Both are evaluated on the same resamples, so that rows that are hard for both cancel out.

    Raises:
        DataError, GateError: as `evaluate` does.
    """
    value = gain(metric, *(measure(metric, labels, probabilities) for probabilities in (ours, theirs)))
    pair = WeightedMetrics(labels, ours), WeightedMetrics(labels, theirs)
    resampled = [
        gain(metric, *(weighted((metric,), weights)[metric] for weighted in pair)) for weights in _draw(labels, seed)
    ]
    return _summarise(value, resampled, confidence)


def _draw(labels: NDArray[Any], seed: int) -> Iterator[NDArray[np.int64]]:
    """The number of draws of each row, per resample. Redraws a resample with only one label, which has no metrics."""
    random = np.random.default_rng(seed)
    rows, positive = len(labels), np.flatnonzero(labels)
    drawn = 0
    while drawn < RESAMPLES:
        weights = np.bincount(random.integers(0, rows, rows), minlength=rows)
        if 0 < weights[positive].sum() < rows:
            drawn += 1
            yield weights


def _before(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """The cumulative sum, exclusive, with the total at the end; shape (n + 1,)."""
    sums = np.zeros(len(weights) + 1, dtype=np.int64)
    np.cumsum(weights, out=sums[1:])
    return sums


def _summarise(value: float, resampled: Sequence[float], confidence: float) -> Estimate:
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value=value, low=float(low), high=float(high))
