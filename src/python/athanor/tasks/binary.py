"""Is it true? The label is a bool, the answer the probability that it is true."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier

from athanor.contract.columns import Columns, Role
from athanor.release.manifest import Calibration, Sets
from athanor.tasks.calibration import apply_platt, find_platt, join
from athanor.tasks.classes import (
    SET_METRICS,
    PrecomputedClasses,
    align,
    default_boosting_classifier,
    default_linear_classifier,
    measure_sets,
)
from athanor.tasks.conformal import apply_sets, find_sets
from athanor.tasks.losses import average, surprise
from athanor.tasks.ranking import Ranking
from athanor.tasks.reliability import calibration_error
from athanor.tasks.task import (
    AnyCalibration,
    Doubt,
    Folds,
    Metric,
    ModelAndSpace,
    Reliability,
    Task,
    WeightedMetrics,
    clip,
    list_foreign_columns,
    list_probability_problems,
    list_set_problems,
)

_CATEGORIES: Final = ("false", "true")
_METRICS: Final = (
    Metric("roc_auc", True, 0.0, 1.0, "share of pairs of a true and a false row that are in order", "roc_auc"),
    Metric("average_precision", True, 0.0, 1.0, "mean precision over the true rows", "average_precision"),
    Metric("brier_score", False, 0.0, 1.0, "mean squared error of the probability", "neg_brier_score"),
    Metric("log_loss", False, 0.0, np.inf, "mean negative logarithm of the outcome's probability", "neg_log_loss"),
)


class Binary(Task):
    """See the module."""

    name: ClassVar[str] = "binary"

    @property
    def scoring(self) -> str:
        return "average_precision"

    @cached_property
    def metrics(self) -> Mapping[str, Metric]:
        return {metric.name: metric for metric in (*_METRICS, *(SET_METRICS if self._doubt_columns else ()))}

    def list_contract_problems(self) -> Iterator[str]:
        yield from list_foreign_columns(self, Role.IN_SET)
        yield from list_probability_problems(self.contract.prediction)
        if self._doubt_columns:
            yield from list_set_problems(self, _CATEGORIES, Role.IN_SET)

    def encode(self, values: NDArray[Any]) -> NDArray[np.int64]:
        return values.astype(np.int64)

    def list_label_problems(self, y: NDArray[Any], what: str) -> list[str]:
        if not len(y):
            return [f"{what}: there are no rows"]
        if len(found := np.unique(y)) < 2:
            return [f"{what}: all {len(y):,} rows have the label {_CATEGORIES[int(found[0])]}; both must occur"]
        return []

    def strata(self, y: NDArray[Any]) -> NDArray[Any] | None:
        return y

    def outputs(self, estimator: Any, frame: Any) -> NDArray[np.float64]:
        return align(estimator, frame, len(_CATEGORIES))[:, 1:]

    def perfect_outputs(self, y: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(y, dtype=np.float64).reshape(-1, 1)

    def predict_like(self, outputs: NDArray[np.float64]) -> ClassifierMixin:
        return PrecomputedClasses(np.column_stack([1 - outputs, outputs]))

    def finish(
        self, outputs: NDArray[np.float64], calibration: AnyCalibration | None = None, doubt: Doubt | None = None
    ) -> Columns:
        calibrated = self._calibrate(outputs, calibration)
        prediction = self.contract.prediction
        answers = {prediction.name: clip(prediction, calibrated[:, 0])}
        if isinstance(doubt, Sets):
            by_category = dict(zip(_CATEGORIES, (1 - answers[prediction.name], answers[prediction.name]), strict=True))
            is_in = apply_sets(doubt, by_category)
            answers |= {column.name: is_in[column.category] for column in self._doubt_columns}
        return answers

    def find_calibration(self, folds: Folds) -> Calibration | None:
        return find_platt(folds)

    def neutral_calibration(self) -> Calibration:
        return Calibration(slope=1.0, intercept=0.0)

    def find_doubt(self, folds: Folds, coverage: float, calibration: AnyCalibration | None = None) -> Sets:
        y, outputs = join(folds)
        calibrated = self._calibrate(outputs, calibration)
        return find_sets(y, np.column_stack([1 - calibrated, calibrated]), _CATEGORIES, coverage)

    def weigh(self, y: NDArray[Any], answers: Columns) -> WeightedMetrics:
        return _Weighted(self, y, answers)

    def measure_reliability(
        self, y: NDArray[Any], answers: Columns, bins: int, weights: NDArray[np.float64] | None = None
    ) -> Reliability:
        claimed = answers[self.contract.prediction.name]
        return Reliability(
            error=calibration_error(claimed, y, bins, weights=weights),
            claimed=float(np.average(claimed, weights=weights)),
            observed=float(np.average(y, weights=weights)),
            claim="mean probability",
            outcome="rate",
        )

    def one_vs_rest(self, y: NDArray[Any], answers: Columns) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return y, answers[self.contract.prediction.name]

    def default_baseline(self) -> BaseEstimator:
        return DummyClassifier(strategy="prior")

    def default_linear(self) -> ModelAndSpace:
        return default_linear_classifier()

    def default_boosting(self, seed: int) -> ModelAndSpace:
        return default_boosting_classifier(seed)

    def describe_labels(self, y: NDArray[Any]) -> dict[str, float]:
        return {"rate": float(np.mean(y))}

    def list_in_sets(self, y: NDArray[Any], answers: Columns) -> dict[str, NDArray[np.float64]]:
        """Per row, whether its set holds the label, and how many it holds; {} without sets."""
        return measure_sets(_CATEGORIES, self._doubt_columns, y, answers)

    @staticmethod
    def _calibrate(outputs: NDArray[np.float64], calibration: AnyCalibration | None) -> NDArray[np.float64]:
        return apply_platt(calibration, outputs) if isinstance(calibration, Calibration) else outputs


class _Weighted:
    def __init__(self, task: Binary, y: NDArray[Any], answers: Columns) -> None:
        self._positive = np.asarray(y).astype(np.bool_)
        # A graph that sums trees in single precision may return 1.0000001.
        self._probabilities = clip(task.contract.prediction, answers[task.contract.prediction.name])
        self._sets = task.list_in_sets(y, answers)

    def __call__(self, names: Sequence[str], weights: NDArray[Any]) -> dict[str, float]:
        found = average(self._losses, names, weights)
        if not {"roc_auc", "average_precision"}.isdisjoint(names):
            found |= self._ranking(names, weights)
        return {name: found[name] for name in names if name in found}

    @cached_property
    def _ranking(self) -> Ranking:
        return Ranking(self._positive, self._probabilities)

    @cached_property
    def _losses(self) -> Mapping[str, NDArray[np.float64]]:
        came_true = np.where(self._positive, self._probabilities, 1 - self._probabilities)
        return {
            "brier_score": (self._positive - self._probabilities) ** 2,
            "log_loss": surprise(came_true),
            **self._sets,
        }
