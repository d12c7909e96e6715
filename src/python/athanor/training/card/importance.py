"""Permutation importance of features: Breiman 2001, "Random Forests"."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from athanor.features.features import FeatureArrays
from athanor.training.evaluation.evidence import Evidence, spread

_ROWS: Final = 5_000
_REPEATS: Final = 2


def measure_importance(evidence: Evidence) -> Mapping[str, float]:
    """The mean loss of average precision when a feature's values are shuffled among rows.

    Uses the graph, up to 5,000 evenly spaced rows, and the seed of the evidence.

    Returns:
        By feature, descending. About 0 for an irrelevant feature, and below 0 if shuffling helped by chance. Empty if
        no row has label 1.
    """
    chosen = spread(len(evidence.rows), _ROWS)
    labels, features = evidence.rows.labels[chosen], evidence.rows.features.take(chosen)
    if not labels.any():
        return {}
    random = np.random.default_rng(evidence.seed)
    whole = _score(evidence, labels, features)
    losses: dict[str, float] = {}
    names = evidence.model.features
    for kind, of_kind in (("numeric", names.numeric), ("categorical", names.categorical)):
        for position, name in enumerate(of_kind):
            lost = []
            for _ in range(_REPEATS):
                shuffled = FeatureArrays(features.numeric.copy(), features.categorical.copy())
                column = getattr(shuffled, kind)[:, position]
                column[:] = random.permutation(column)
                lost.append(whole - _score(evidence, labels, shuffled))
            losses[name] = float(np.mean(lost))
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def _score(evidence: Evidence, labels: NDArray[np.int64], features: FeatureArrays) -> float:
    return float(average_precision_score(labels, evidence.session.predict_probability(features)))
