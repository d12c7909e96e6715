"""Calibration of probabilities, used only if it helps on later rows."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from athanor.release.manifest import Calibration, Temperature
from athanor.tasks.losses import surprise
from athanor.tasks.task import Folds

CLIP: Final = 1e-6
"""Probabilities are clipped to [CLIP, 1 - CLIP] before taking log-odds, to [CLIP, 1] before taking logarithms."""

_HOTTEST: Final = 20.0

Found = TypeVar("Found", Calibration, Temperature)


def find_platt(folds: Folds) -> Calibration | None:
    """Platt scaling fitted to the outputs of later rows, or None if it does not lower the Brier score.

    Platt 1999, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods".
    """
    return _find_helpful(folds, _fit_platt, apply_platt, lambda y, p: float(np.mean((y - p[:, 0]) ** 2)))


def find_temperature(folds: Folds) -> Temperature | None:
    """A temperature fitted to the outputs of later rows, or None if it does not lower the log loss.

    Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    return _find_helpful(folds, _fit_temperature, apply_temperature, _log_loss)


def _find_helpful(
    folds: Folds,
    fit: Callable[[Folds], Found | None],
    apply: Callable[[Found, NDArray[np.float64]], NDArray[np.float64]],
    loss: Callable[[NDArray[Any], NDArray[np.float64]], float],
) -> Found | None:
    """A fit on all folds, if it helps: if it lowers the sum of the losses of all folds but the first.

    Each fold is calibrated by a fit on the folds before it, so none by later rows, and none counts until those folds
    have two different labels.
    """
    plain = calibrated = 0.0
    for turn in range(1, len(folds)):
        if (fitted := fit(folds[:turn])) is not None:
            labels, outputs = folds[turn]
            plain += loss(labels, outputs)
            calibrated += loss(labels, apply(fitted, outputs))
    return fit(folds) if calibrated < plain else None


def apply_platt(calibration: Calibration, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Calibrated probabilities of true; any shape in, the same out; NaN stays NaN."""
    score = calibration.slope * _log_odds(probabilities) + calibration.intercept
    return np.asarray(1 / (1 + np.exp(-score)))


def apply_temperature(calibration: Temperature, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Calibrated probabilities of categories, shape (n, k): the softmax of `log(max(p, CLIP)) / temperature`."""
    score = np.log(np.clip(probabilities, CLIP, 1)) / calibration.temperature
    grown = np.exp(score - score.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def _fit_platt(folds: Folds) -> Calibration | None:
    labels, outputs = join(folds)
    if len(np.unique(labels)) < 2:
        return None
    with threadpool_limits(1):
        # Without regularisation: it fits two numbers to thousands of rows.
        fitted = LogisticRegression(C=np.inf).fit(_log_odds(outputs), labels)
    return Calibration(slope=float(fitted.coef_[0, 0]), intercept=float(fitted.intercept_[0]))


def _fit_temperature(folds: Folds) -> Temperature | None:
    labels, outputs = join(folds)
    if len(np.unique(labels)) < 2:
        return None
    found = minimize_scalar(
        lambda log: _log_loss(labels, apply_temperature(Temperature(temperature=float(np.exp(log))), outputs)),
        bounds=(-np.log(_HOTTEST), np.log(_HOTTEST)),
        method="bounded",
    )
    return Temperature(temperature=float(np.exp(found.x)))


def join(folds: Folds) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Labels and outputs of all folds."""
    labels, outputs = (np.concatenate(parts) for parts in zip(*folds, strict=True))
    return labels, outputs


def _log_loss(labels: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
    return float(surprise(probabilities[np.arange(len(labels)), labels]).mean())


def _log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(probabilities, CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped) - np.log(1 - clipped))
