"""Calibration: Platt scaling of probabilities, used only if it helps."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from threadpoolctl import threadpool_limits

from athanor.release.manifest import Calibration

Folds: TypeAlias = Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]
"""Labels and predicted probabilities of each fold, in time order."""

CLIP: Final = 1e-6
"""Probabilities are clipped to [CLIP, 1 - CLIP] before taking log-odds."""


def find_calibration(folds: Folds) -> Calibration | None:
    """Platt scaling fitted to out-of-fold predictions, or None if it does not help.

    It helps if it lowers the sum of the Brier scores of all folds but the first, each scaled by a fit on the folds
    before it. No fold is calibrated on later rows, and none is counted until the folds before it have both labels.

    Platt 1999, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods".
    """
    plain = calibrated = 0.0
    for turn in range(1, len(folds)):
        if len(np.unique(np.concatenate([labels for labels, _ in folds[:turn]]))) < 2:
            continue
        labels, probabilities = folds[turn]
        scaled = apply_calibration(_fit(folds[:turn]), probabilities)
        plain += brier_score_loss(labels, probabilities)
        calibrated += brier_score_loss(labels, scaled)
    return _fit(folds) if calibrated < plain else None


def apply_calibration(calibration: Calibration, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Calibrated probabilities; shape (n,) in and out, NaN stays NaN."""
    score = calibration.slope * _log_odds(probabilities) + calibration.intercept
    return np.asarray(1 / (1 + np.exp(-score)))


def _fit(folds: Folds) -> Calibration:
    labels, probabilities = (np.concatenate(parts) for parts in zip(*folds, strict=True))
    with threadpool_limits(1):
        # Without regularisation: it fits two numbers to thousands of rows.
        fitted = LogisticRegression(C=np.inf).fit(_log_odds(probabilities).reshape(-1, 1), labels)
    return Calibration(slope=float(fitted.coef_[0, 0]), intercept=float(fitted.intercept_[0]))


def _log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(probabilities, CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped) - np.log(1 - clipped))


class Calibrated(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A fitted classifier with calibrated probabilities."""

    def __init__(self, pipeline: Any, calibration: Calibration) -> None:
        self.pipeline = pipeline
        self.calibration = calibration

    def predict_proba(self, frame: Any) -> NDArray[np.float64]:
        calibrated = apply_calibration(self.calibration, self.pipeline.predict_proba(frame)[:, 1])
        return np.column_stack([1 - calibrated, calibrated])
