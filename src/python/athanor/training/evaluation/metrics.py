"""Metrics of predicted probabilities."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from athanor.contract.columns import Columns
from athanor.errors import ContractError, DataError, GateError
from athanor.release.graph import TOLERANCE
from athanor.release.record import SliceResult
from athanor.training.evaluation.slices import Slice

_METRICS: Final[Mapping[str, Callable[..., float]]] = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "brier_score": brier_score_loss,
    "log_loss": log_loss,
}

GREATER_IS_BETTER: Final[Mapping[str, bool]] = {
    "roc_auc": True,
    "average_precision": True,
    "brier_score": False,
    "log_loss": False,
}
"""Every metric by name, and whether a greater value is better."""


def evaluate(labels: NDArray[Any], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Area under the ROC curve, average precision, Brier score and log loss, as scikit-learn defines them.

    Args:
        labels: 0 and 1, shape (n,); both must occur.
        probabilities: of label 1, shape (n,).

    Raises:
        DataError: only one label occurs.
        GateError: a probability is NaN or outside [0, 1].
    """
    _require_scorable(labels, probabilities)
    return {name: float(metric(labels, clip(probabilities))) for name, metric in _METRICS.items()}


def measure(metric: str, labels: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
    """One of the metrics of `evaluate`, with the same arguments and errors."""
    _require_scorable(labels, probabilities)
    return float(_METRICS[metric](labels, clip(probabilities)))


def gain(metric: str, ours: float, theirs: float) -> float:
    """How much better `ours` is than `theirs`; positive if it is."""
    return ours - theirs if GREATER_IS_BETTER[metric] else theirs - ours


def clip(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clips to [0, 1]: a graph that sums trees in single precision may return 1.0000001."""
    return np.clip(probabilities, 0, 1)


def describe_invalid(probabilities: NDArray[np.float64]) -> str:
    """Describes probabilities that are NaN or, beyond rounding, outside [0, 1]; "" if all are valid."""
    wrong = np.flatnonzero(~(np.abs(probabilities - 0.5) <= 0.5 + TOLERANCE))
    if not len(wrong):
        return ""
    first = f"the first is {probabilities[wrong[0]]:.9g} in row {wrong[0]}"
    return f"{len(wrong)} of {len(probabilities)} probabilities are NaN or outside 0 to 1; {first}"


def calibration_error(labels: NDArray[Any], probabilities: NDArray[np.float64], bins: int = 10) -> float:
    """The expected calibration error (Naeini et al. 2015) with bins of equal counts.

    The mean of |mean probability - rate of the label| over bins, weighted by their rows. Equal probabilities share a
    bin, so that the order of rows does not matter.

    Args:
        labels: 0 and 1, shape (n,).
        probabilities: shape (n,). NaN gives NaN.
        bins: number of bins.
    """
    if np.isnan(probabilities).any():
        return np.nan
    edges = np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1])
    gaps = np.bincount(np.searchsorted(edges, probabilities), weights=probabilities - labels)
    return float(np.abs(gaps).sum() / len(labels))


def select(chosen: Slice, columns: Columns) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Each value of a slice, sorted, with a mask of its rows.

    Raises:
        ContractError: the slice's function raised, or returned other than one text for each row.
    """
    try:
        values = np.asarray(chosen.by(columns))
    except Exception as error:
        raise ContractError(
            f"slice {chosen.name!r}: its function raised {type(error).__name__}: {error}; it is given the columns "
            f"{', '.join(columns)}"
        ) from error
    rows = len(next(iter(columns.values())))
    if values.shape != (rows,) or not all(isinstance(value, str) for value in values):
        raise ContractError(
            f"slice {chosen.name!r}: its function returned an array of shape {values.shape} and type {values.dtype}; "
            f"it must return {rows} texts, one for each row"
        )
    for value in sorted(set(values)):
        yield str(value), values == value


def evaluate_slices(
    slices: Sequence[Slice], columns: Columns, labels: NDArray[Any], probabilities: NDArray[np.float64]
) -> tuple[SliceResult, ...]:
    """Metrics for each value of each slice; None for metrics if all its labels are equal.

    Args:
        columns: contract columns of n rows.
        labels: 0 and 1, shape (n,).
        probabilities: of label 1, shape (n,).

    Raises:
        GateError: a probability is NaN or outside [0, 1].
    """
    return tuple(
        _evaluate_slice(chosen.name, value, labels[rows], probabilities[rows])
        for chosen in slices
        for value, rows in select(chosen, columns)
    )


def _evaluate_slice(name: str, value: str, labels: NDArray[Any], probabilities: NDArray[np.float64]) -> SliceResult:
    rate = float(labels.mean())
    metrics = evaluate(labels, probabilities) if 0 < rate < 1 else dict.fromkeys(_METRICS)
    return SliceResult(slice=name, value=value, rows=len(labels), label_rate=rate, metrics=metrics)


def _require_scorable(labels: NDArray[Any], probabilities: NDArray[np.float64]) -> None:
    """Raises as `evaluate` does."""
    if problem := describe_invalid(probabilities):
        raise GateError(f"{problem}; the model cannot be evaluated and must not be released")
    if len(found := np.unique(labels)) < 2:
        raise DataError(f"all {len(labels)} rows have the label {found}; metrics need both labels, use more rows")
