"""How good probabilities are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

_METRICS = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "brier_score": brier_score_loss,
    "log_loss": log_loss,
}


def evaluate(labels: NDArray[Any], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Area under the ROC curve, average precision, Brier score and log loss, as scikit-learn defines them.

    Args:
        labels: 0 and 1, shape (n,); both must occur.
        probabilities: of label 1, shape (n,).
    """
    return {name: float(metric(labels, probabilities)) for name, metric in _METRICS.items()}


def evaluate_slices(labels: NDArray[Any], probabilities: NDArray[np.float64], values: NDArray[Any]) -> dict[str, Any]:
    """Rows, rate of the label and area under the ROC curve (None where only one label occurs) for each value."""
    table = {}
    for value in sorted(set(values)):
        rows = values == value
        rate = float(labels[rows].mean())
        auc = float(roc_auc_score(labels[rows], probabilities[rows])) if 0 < rate < 1 else None
        table[str(value)] = {"rows": int(rows.sum()), "label_rate": rate, "roc_auc": auc}
    return table


@dataclass(frozen=True)
class Evaluation:
    """Metrics on the rows kept for evaluation, by name; `slices` by column and value."""

    rows: int
    label_rate: float
    metrics: Mapping[str, float]
    baseline: Mapping[str, float]
    slices: Mapping[str, Mapping[str, Any]]
