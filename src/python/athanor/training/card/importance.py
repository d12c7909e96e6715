"""Permutation importance of columns: Breiman 2001, "Random Forests"."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from athanor.contract.columns import Columns, Role
from athanor.training.evaluation.evidence import Evidence, spread

_ROWS: Final = 5_000
_REPEATS: Final = 2


def measure_importance(evidence: Evidence) -> Mapping[str, float]:
    """The mean loss of average precision when a column's values are shuffled among rows, before features are computed.

    Columns, not features: several features of one column follow from each other, and rows in which they contradict each
    other do not exist. Uses the graph, up to 5,000 evenly spaced rows, and the seed of the evidence.

    Returns:
        By column with ROLE_FEATURE, descending. About 0 for an irrelevant column, and below 0 if shuffling helped by
        chance. Empty if no row has label 1.
    """
    rows = evidence.rows.take(spread(len(evidence.rows), _ROWS))
    if not rows.labels.any():
        return {}
    random = np.random.default_rng(evidence.seed)
    whole = _score(evidence, rows.labels, rows.columns)
    losses: dict[str, float] = {}
    for name in (column.name for column in evidence.model.contract.columns if Role.FEATURE in column.roles):
        lost = []
        for _ in range(_REPEATS):
            shuffled = {**rows.columns, name: random.permutation(rows.columns[name])}
            lost.append(whole - _score(evidence, rows.labels, shuffled))
        losses[name] = float(np.mean(lost))
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def _score(evidence: Evidence, labels: NDArray[np.int64], columns: Columns) -> float:
    return float(average_precision_score(labels, evidence.predict(columns)))
