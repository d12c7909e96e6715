"""What tasks with classes share: probabilities by class, and sets of classes."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from athanor.contract.columns import Column, Columns
from athanor.tasks.task import BOOSTING_SPACE, Metric, ModelAndSpace

SET_METRICS: Final = (
    Metric("coverage", True, 0.0, 1.0, "share of rows whose set holds the label"),
    Metric("set_size", False, 0.0, np.inf, "mean number of labels in a set"),
)


def align(estimator: Any, frame: Any, count: int) -> NDArray[np.float64]:
    """A fitted classifier's probability of each of `count` classes, shape (n, count); 0 for one that it has not seen.

    Raises:
        ValueError: there is not one column for each class that it has seen, or a probability is NaN or infinite.
    """
    probabilities = np.asarray(estimator.predict_proba(frame), dtype=np.float64)
    classes = np.asarray(estimator.classes_).astype(np.int64)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(classes):
        raise ValueError(
            f"its probabilities have the shape {probabilities.shape}; allowed is (n, {len(classes)}), one column per "
            "label"
        )
    require_finite(probabilities, "probabilities")
    aligned = np.zeros((len(probabilities), count))
    aligned[:, classes] = probabilities
    return aligned


def require_finite(values: NDArray[np.float64], what: str) -> None:
    """Raises ValueError if a row of values, shape (n, k), has one that is NaN or infinite."""
    if wrong := int((~np.isfinite(values).all(axis=1)).sum()):
        raise ValueError(f"{wrong} of {len(values)} {what} are NaN or infinite")


def measure_sets(
    categories: Sequence[str], columns: Sequence[Column], y: NDArray[np.int64], answers: Columns
) -> dict[str, NDArray[np.float64]]:
    """Per row, `coverage`: whether its set holds the label, and `set_size`; {} if the answers have no sets.

    Args:
        columns: one for each category, in any order.
        y: positions in `categories`, shape (n,).
    """
    names = {column.category: column.name for column in columns}
    if not names or not all(name in answers for name in names.values()):
        return {}
    sets = np.column_stack([answers[names[category]] for category in categories])
    return {"coverage": sets[np.arange(len(y)), y], "set_size": sets.sum(axis=1)}


class PrecomputedClasses(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier that gives the same probabilities for any rows, for scikit-learn's scorers."""

    def __init__(self, probabilities: NDArray[np.float64]) -> None:
        self.probabilities = probabilities
        self.classes_ = np.arange(probabilities.shape[1])

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, frame: Any) -> NDArray[np.float64]:
        return self.probabilities

    def predict(self, frame: Any) -> NDArray[np.int64]:
        return np.asarray(self.probabilities.argmax(axis=1))


def default_linear_classifier() -> ModelAndSpace:
    return LogisticRegression(max_iter=1_000), {"C": (0.1, 1.0)}


def default_boosting_classifier(seed: int) -> ModelAndSpace:
    # Early stopping would hold out random rows, not later ones.
    return HistGradientBoostingClassifier(early_stopping=False, random_state=seed), BOOSTING_SPACE
