"""Calibration: probabilities that mean what they say, where that helps."""

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
"""Labels and what was answered for them, fold by fold in order of time."""

CLIP: Final = 1e-6
"""Log-odds are taken of probabilities from here to one less this."""


def find_calibration(folds: Folds) -> Calibration | None:
    """Platt scaling of answers to rows that were not fitted on, or None where it does not help.

    It helps where the Brier score of each fold but the first, added up, is smaller with the scaling that the folds
    before it give. No fold is calibrated on its future.
    """
    plain = calibrated = 0.0
    for turn in range(1, len(folds)):
        labels, probabilities = folds[turn]
        scaled = apply_calibration(_fit(folds[:turn]), probabilities)
        plain += brier_score_loss(labels, probabilities)
        calibrated += brier_score_loss(labels, scaled)
    return _fit(folds) if calibrated < plain else None


def apply_calibration(calibration: Calibration, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shape (n,) in and out; NaN stays NaN."""
    score = calibration.slope * _log_odds(probabilities) + calibration.intercept
    return np.asarray(1 / (1 + np.exp(-score)))


def _fit(folds: Folds) -> Calibration:
    labels, probabilities = (np.concatenate(parts) for parts in zip(*folds, strict=True))
    with threadpool_limits(1):
        # Without regularisation: two numbers from thousands of rows.
        fitted = LogisticRegression(C=np.inf).fit(_log_odds(probabilities).reshape(-1, 1), labels)
    return Calibration(slope=float(fitted.coef_[0, 0]), intercept=float(fitted.intercept_[0]))


def _log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(probabilities, CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped) - np.log(1 - clipped))


class Calibrated(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A fitted classifier whose probabilities are calibrated."""

    def __init__(self, pipeline: Any, calibration: Calibration) -> None:
        self.pipeline = pipeline
        self.calibration = calibration

    def predict_proba(self, frame: Any) -> NDArray[np.float64]:
        late = apply_calibration(self.calibration, self.pipeline.predict_proba(frame)[:, 1])
        return np.column_stack([1 - late, late])
