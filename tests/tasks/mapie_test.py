"""Intervals and sets equal those of MAPIE, bin by bin and category by category."""

from typing import Any

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from mapie.conformity_scores import AbsoluteConformityScore
from mapie.regression import SplitConformalRegressor
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from athanor.tasks.conformal import apply_intervals, apply_sets, find_intervals, find_sets


class _Repeating(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Predicts its input."""

    # MAPIE looks for an attribute like it.
    is_fitted = True

    def fit(self, frame: NDArray[Any], y: NDArray[Any]) -> "_Repeating":
        raise AssertionError("it is fitted")

    def predict(self, frame: NDArray[Any]) -> NDArray[Any]:
        return frame[:, 0]


class _Stating(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Takes its input for the probabilities."""

    classes_ = np.arange(3)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, frame: NDArray[Any]) -> NDArray[Any]:
        return frame

    def predict(self, frame: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(frame.argmax(axis=1))


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("rows", [157, 4_001])
def test_intervals_are_those_of_mapie_in_each_bin(coverage: float, rows: int) -> None:
    random = np.random.default_rng(rows)
    values, later = random.gamma(2.0, 1.0, rows), random.gamma(2.0, 1.0, 500)
    y = values + values * random.exponential(1.0, rows)
    found = find_intervals(y, values, coverage)
    lower, upper = apply_intervals(found, later)
    bins, later_bins = (np.searchsorted(found.edges, each, side="right") for each in (values, later))
    for number in range(len(found.lower)):
        inside, chosen = bins == number, later_bins == number
        theirs = SplitConformalRegressor(
            _Repeating(), confidence_level=coverage, conformity_score=AbsoluteConformityScore(sym=False), prefit=True
        ).conformalize(values[inside, None], y[inside])
        _, intervals = theirs.predict_interval(later[chosen, None])
        # Theirs may lie to one side of the value, ours hold it.
        held = later[chosen]
        np.testing.assert_allclose(lower[chosen], np.minimum(intervals[:, 0, 0], held), atol=1e-12)
        np.testing.assert_allclose(upper[chosen], np.maximum(intervals[:, 1, 0], held), atol=1e-12)


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_sets_are_those_of_mapie_for_each_category(coverage: float) -> None:
    random = np.random.default_rng(0)
    names = ("a", "b", "c")
    probabilities, later = random.dirichlet([1.0, 1.0, 0.3], 1_000), random.dirichlet([1.0, 1.0, 0.3], 500)
    y = (random.random((1_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    is_in = apply_sets(find_sets(y, probabilities, names, coverage), dict(zip(names, later.T, strict=True)))
    for position, name in enumerate(names):
        own = y == position
        theirs = SplitConformalClassifier(_Stating(), confidence_level=coverage, prefit=True)
        with pytest.warns(UserWarning, match="conformalization dataset has less labels"):
            theirs.conformalize(probabilities[own], y[own])
        _, sets = theirs.predict_set(later)
        np.testing.assert_array_equal(is_in[name], sets[:, position, 0])
