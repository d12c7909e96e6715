"""Which one of several? The label is a text with categories, the answer a category and the probability of each."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier

from athanor.contract.columns import Column, Columns, Kind, Role
from athanor.errors import DataError
from athanor.release.manifest import Sets, Temperature
from athanor.tasks.calibration import apply_temperature, find_temperature, join
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

_METRICS: Final = (
    Metric("log_loss", False, 0.0, np.inf, "mean negative logarithm of the outcome's probability", "neg_log_loss"),
    Metric("brier_score", False, 0.0, 2.0, "mean squared error of the probabilities, summed over the categories"),
    Metric("accuracy", True, 0.0, 1.0, "share of rows whose category is right", "accuracy"),
    Metric("balanced_accuracy", True, 0.0, 1.0, "accuracy of each category, averaged", "balanced_accuracy"),
    Metric("macro_f1", True, 0.0, 1.0, "F1 score of each category, averaged", "f1_macro"),
    Metric("roc_auc", True, 0.0, 1.0, "ROC AUC of each category against all others, averaged", "roc_auc_ovr"),
)


class Multiclass(Task):
    """See the module."""

    name: ClassVar[str] = "multiclass"

    @property
    def scoring(self) -> str:
        return "neg_log_loss"

    @cached_property
    def categories(self) -> tuple[str, ...]:
        return self.contract.label.categories

    @cached_property
    def metrics(self) -> Mapping[str, Metric]:
        return {metric.name: metric for metric in (*_METRICS, *(SET_METRICS if self._doubt_columns else ()))}

    def list_contract_problems(self) -> Iterator[str]:
        label, prediction = self.contract.label, self.contract.prediction
        if len(label.categories) < 2:
            yield f"{label.name} is a text label; give it categories, two or more"
            return
        yield from list_foreign_columns(self, Role.PROBABILITY, Role.IN_SET)
        if prediction.kind is not Kind.TEXT or set(prediction.categories) != set(label.categories):
            yield (
                f"{prediction.name} is a category of {label.name}; declare it as string, with the categories "
                f"{', '.join(label.categories)}"
            )
        yield from list_set_problems(self, label.categories, Role.PROBABILITY)
        for column in self._with(Role.PROBABILITY):
            yield from list_probability_problems(column)
        if self._doubt_columns:
            yield from list_set_problems(self, label.categories, Role.IN_SET)

    def encode(self, values: NDArray[Any]) -> NDArray[np.int64]:
        y = locate(self.categories, values)
        if len(unknown := np.flatnonzero(y < 0)):
            raise DataError(
                f"{self.contract.label.name} is {values[unknown[0]]!r} in row {unknown[0]}, and unknown in "
                f"{len(unknown):,} of {len(y):,} rows; allowed is {self.contract.label.allowed}"
            )
        return y

    def list_label_problems(self, y: NDArray[Any], what: str) -> list[str]:
        if not len(y):
            return [f"{what}: there are no rows"]
        if len(found := np.unique(y)) < 2:
            return [
                f"{what}: all {len(y):,} rows have the label {self.categories[int(found[0])]}; two different ones or "
                "more must occur"
            ]
        return []

    def strata(self, y: NDArray[Any]) -> NDArray[Any] | None:
        return y

    def outputs(self, estimator: Any, frame: Any) -> NDArray[np.float64]:
        return align(estimator, frame, len(self.categories))

    def perfect_outputs(self, y: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.eye(len(self.categories))[y])

    def predict_like(self, outputs: NDArray[np.float64]) -> ClassifierMixin:
        return PrecomputedClasses(outputs)

    def finish(
        self, outputs: NDArray[np.float64], calibration: AnyCalibration | None = None, doubt: Doubt | None = None
    ) -> Columns:
        calibrated = self._calibrate(outputs, calibration)
        columns = self.probability_columns
        probabilities = {
            category: clip(column, calibrated[:, position])
            for position, (category, column) in enumerate(zip(self.categories, columns, strict=True))
        }
        # The first of equals, as in the graph.
        chosen = np.array(self.categories, dtype=object)[np.column_stack([*probabilities.values()]).argmax(axis=1)]
        answers = {self.contract.prediction.name: chosen}
        answers |= {column.name: probabilities[column.category] for column in columns}
        if isinstance(doubt, Sets):
            is_in = apply_sets(doubt, probabilities)
            answers |= {column.name: is_in[column.category] for column in self._doubt_columns}
        return answers

    def find_calibration(self, folds: Folds) -> Temperature | None:
        return find_temperature(folds)

    def neutral_calibration(self) -> Temperature:
        return Temperature(temperature=1.0)

    def find_doubt(self, folds: Folds, coverage: float, calibration: AnyCalibration | None = None) -> Sets:
        y, outputs = join(folds)
        return find_sets(y, self._calibrate(outputs, calibration), self.categories, coverage)

    def weigh(self, y: NDArray[Any], answers: Columns) -> WeightedMetrics:
        return _Weighted(self, y, answers)

    def measure_reliability(
        self, y: NDArray[Any], answers: Columns, bins: int, weights: NDArray[np.float64] | None = None
    ) -> Reliability:
        probabilities = np.column_stack([answers[column.name] for column in self.probability_columns])
        claimed = probabilities.max(axis=1)
        is_right = (locate(self.categories, answers[self.contract.prediction.name]) == y).astype(np.float64)
        return Reliability(
            error=calibration_error(claimed, is_right, bins, weights=weights),
            claimed=float(np.average(claimed, weights=weights)),
            observed=float(np.average(is_right, weights=weights)),
            claim="mean probability of the predicted category",
            outcome="accuracy",
        )

    def one_vs_rest(self, y: NDArray[Any], answers: Columns) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        probabilities = np.column_stack([answers[column.name] for column in self.probability_columns])
        return np.eye(len(self.categories), dtype=np.int64)[y].ravel(), probabilities.ravel()

    def default_baseline(self) -> BaseEstimator:
        return DummyClassifier(strategy="prior")

    def default_linear(self) -> ModelAndSpace:
        return default_linear_classifier()

    def default_boosting(self, seed: int) -> ModelAndSpace:
        return default_boosting_classifier(seed)

    def describe_labels(self, y: NDArray[Any]) -> dict[str, float]:
        shares = np.bincount(y, minlength=len(self.categories)) / len(y)
        return {f"share of {name}": float(share) for name, share in zip(self.categories, shares, strict=True)}

    @cached_property
    def probability_columns(self) -> tuple[Column, ...]:
        """In the order of the label's categories."""
        named = {column.category: column for column in self._with(Role.PROBABILITY)}
        return tuple(named[category] for category in self.categories)

    def list_in_sets(self, y: NDArray[Any], answers: Columns) -> dict[str, NDArray[np.float64]]:
        """Per row, whether its set holds the label, and how many it holds; {} without sets."""
        return measure_sets(self.categories, self._doubt_columns, y, answers)

    @staticmethod
    def _calibrate(outputs: NDArray[np.float64], calibration: AnyCalibration | None) -> NDArray[np.float64]:
        return apply_temperature(calibration, outputs) if isinstance(calibration, Temperature) else outputs


def locate(categories: Sequence[str], values: NDArray[Any]) -> NDArray[np.int64]:
    """The position of each value in `categories`, shape (n,); -1 for any other value."""
    found, inverse = np.unique(values.astype(str), return_inverse=True)
    positions = {category: position for position, category in enumerate(categories)}
    return np.array([positions.get(value, -1) for value in found.tolist()], dtype=np.int64)[inverse]


class _Weighted:
    def __init__(self, task: Multiclass, y: NDArray[Any], answers: Columns) -> None:
        self._count = len(task.categories)
        self._y = y
        self._probabilities = np.column_stack(
            [clip(column, answers[column.name]) for column in task.probability_columns]
        )
        self._predicted = locate(task.categories, answers[task.contract.prediction.name])
        self._sets = task.list_in_sets(y, answers)

    def __call__(self, names: Sequence[str], weights: NDArray[Any]) -> dict[str, float]:
        found = average(self._losses, names, weights)
        if not {"balanced_accuracy", "macro_f1"}.isdisjoint(names):
            found |= self._compare_categories(weights)
        if "roc_auc" in names:
            found |= self._rank(weights)
        return {name: found[name] for name in names if name in found}

    def _compare_categories(self, weights: NDArray[Any]) -> dict[str, float]:
        """Means over categories. One that occurs in no row has no accuracy; F1 is 0 if it is predicted in one."""
        occurring = np.bincount(self._y, weights, self._count)
        # A category that the label lacks, of an older model, counts for none.
        predicted = np.bincount(self._predicted + 1, weights, self._count + 1)[1:]
        right = np.bincount(self._y, weights * self._is_right, self._count)
        occurs, is_named = occurring > 0, occurring + predicted > 0
        f1 = 2 * right[is_named] / (occurring + predicted)[is_named]
        return {
            "balanced_accuracy": float((right[occurs] / occurring[occurs]).mean()),
            "macro_f1": float(f1.mean()),
        }

    def _rank(self, weights: NDArray[Any]) -> dict[str, float]:
        """The mean over the categories that occur in some rows, and not in all."""
        areas = [found["roc_auc"] for each in self._rankings if (found := each(("roc_auc",), weights))]
        return {"roc_auc": float(np.mean(areas))} if areas else {}

    @cached_property
    def _rankings(self) -> tuple[Ranking, ...]:
        occurring = np.unique(self._y).tolist()
        return tuple(Ranking(self._y == position, self._probabilities[:, position]) for position in occurring)

    @cached_property
    def _is_right(self) -> NDArray[np.bool_]:
        return np.asarray(self._predicted == self._y)

    @cached_property
    def _losses(self) -> Mapping[str, NDArray[np.float64]]:
        rows = np.arange(len(self._y))
        outcomes = np.zeros_like(self._probabilities)
        outcomes[rows, self._y] = 1.0
        return {
            "log_loss": surprise(self._probabilities[rows, self._y]),
            "brier_score": np.asarray(((outcomes - self._probabilities) ** 2).sum(axis=1)),
            "accuracy": self._is_right.astype(np.float64),
            **self._sets,
        }
