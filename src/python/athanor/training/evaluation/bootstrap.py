"""Confidence intervals of metrics: the bootstrap over rows (Efron 1979), with percentile intervals.

The metric of a resample is a weighted metric, with the number of draws of each row as its weight, times the row's own
weight where it has one. Where rows belong to groups, groups are drawn, since rows of a group tell little more than one.
Draws depend only on the seed and the rows: all models get the same resamples.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.release.record import Estimate
from athanor.tasks.task import Task, WeightedMetrics
from athanor.training.evaluation.evidence import Rows
from athanor.training.evaluation.metrics import evaluate, measure

RESAMPLES: Final = 400
_CONFIDENCE: Final = 0.95


def estimate(task: Task, rows: Rows, answers: Columns, seed: int) -> Mapping[str, Estimate]:
    """Every metric of `evaluate` with its 95 % interval, by name.

    Raises:
        DataError, GateError: as `evaluate` does.
    """
    values = evaluate(task, rows, answers)
    resampled = [metrics for (metrics,) in _resample(rows, tuple(values), [task.weigh(rows.labels, answers)], seed)]
    return {
        name: _summarise(value, [metrics[name] for metrics in resampled], _CONFIDENCE) for name, value in values.items()
    }


def paired_interval(
    task: Task,
    metric: str,
    rows: Rows,
    ours: Columns,
    theirs: Columns,
    seed: int,
    confidence: float = _CONFIDENCE,
) -> Estimate:
    """The gain in one metric of `ours` over `theirs` on the same rows; positive if `ours` is better.

    Both are evaluated on the same resamples, so that rows that are hard for both cancel out.

    Raises:
        ContractError, DataError, GateError: as `measure` does.
    """
    values = [measure(task, metric, rows, answers) for answers in (ours, theirs)]
    gain = task.metrics[metric].gain
    pair = [task.weigh(rows.labels, answers) for answers in (ours, theirs)]
    resampled = [gain(*(each[metric] for each in both)) for both in _resample(rows, (metric,), pair, seed)]
    return _summarise(gain(*values), resampled, confidence)


def _resample(
    rows: Rows, names: Sequence[str], measured: Sequence[WeightedMetrics], seed: int
) -> list[list[dict[str, float]]]:
    """The metrics of each answer in each resample. Draws again if one is not defined, as of a single label."""
    random = np.random.default_rng(seed)
    found: list[list[dict[str, float]]] = []
    while len(found) < RESAMPLES:
        weights = _draw(rows, random)
        if weights.any():
            metrics = [each(names, weights) for each in measured]
            if all(len(each) == len(names) for each in metrics):
                found.append(metrics)
    return found


def _draw(rows: Rows, random: np.random.Generator) -> NDArray[Any]:
    """Weights of a resample, shape (n,): how often each row is drawn, times its own weight."""
    count = len(rows) if rows.groups is None else int(rows.groups.max()) + 1
    drawn = np.bincount(random.integers(0, count, count), minlength=count)
    weights = drawn if rows.groups is None else drawn[rows.groups]
    return weights if rows.weights is None else weights * rows.weights


def _summarise(value: float, resampled: Sequence[float], confidence: float) -> Estimate:
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value=value, low=float(low), high=float(high))
