"""Permutation importance of columns: Breiman 2001, "Random Forests"."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from athanor.contract.columns import Columns, Role
from athanor.training.evaluation.evidence import Evidence, Rows, spread

_ROWS: Final = 5_000
_REPEATS: Final = 2


def measure_importance(evidence: Evidence) -> Mapping[str, float]:
    """The mean loss of the first metric when a column's values are shuffled among rows, before features are computed.

    Columns, not features: several features of one column follow from each other, and rows in which they contradict each
    other do not exist. Uses the graph, up to 5,000 evenly spaced rows, and the seed of the evidence.

    Returns:
        By column with ROLE_FEATURE, descending. About 0 for an irrelevant column, and below 0 if shuffling helped by
        chance. Empty if the metric is not defined for these rows.
    """
    rows = evidence.rows.take(spread(len(evidence.rows), _ROWS))
    if evidence.task.list_label_problems(rows.labels, "these rows"):
        return {}
    random = np.random.default_rng(evidence.seed)
    whole = _score(evidence, rows, rows.columns)
    metric = next(iter(evidence.task.metrics.values()))
    losses: dict[str, float] = {}
    for name in (column.name for column in evidence.model.contract.columns if Role.FEATURE in column.roles):
        lost = []
        for _ in range(_REPEATS):
            shuffled = {**rows.columns, name: random.permutation(rows.columns[name])}
            lost.append(metric.gain(whole, _score(evidence, rows, shuffled)))
        losses[name] = float(np.mean(lost))
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def _score(evidence: Evidence, rows: Rows, columns: Columns) -> float:
    metric = next(iter(evidence.task.metrics))
    return evidence.task.evaluate(rows.labels, evidence.predict(columns), rows.weights)[metric]
