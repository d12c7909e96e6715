"""How much? The label is a number, the answer a number, with an interval if the contract has its ends.

A label of whole numbers from 0 on is a count.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import PoissonRegressor, Ridge

from athanor.contract.columns import Column, Columns, Kind, Role
from athanor.errors import ContractError
from athanor.release.manifest import Intervals
from athanor.tasks.calibration import join
from athanor.tasks.classes import require_finite
from athanor.tasks.conformal import apply_intervals, find_intervals
from athanor.tasks.losses import average
from athanor.tasks.reliability import calibration_error
from athanor.tasks.task import (
    BOOSTING_SPACE,
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
)

_POISSON: Final = "neg_mean_poisson_deviance"
_METRICS: Final = (
    Metric("mae", False, 0.0, np.inf, "mean absolute error", "neg_mean_absolute_error"),
    Metric("rmse", False, 0.0, np.inf, "root of the mean squared error", "neg_root_mean_squared_error"),
    Metric("median_absolute_error", False, 0.0, np.inf, "median absolute error", "neg_median_absolute_error"),
    Metric("r2", True, -np.inf, 1.0, "share of the variance that is explained", "r2"),
)
_COUNT_METRICS: Final = (
    Metric("mean_poisson_deviance", False, 0.0, np.inf, "deviance of a Poisson distribution", _POISSON),
)
_PINBALL: Final = Metric("mean_pinball", False, 0.0, np.inf, "mean quantile loss of the two ends of the interval")
_INTERVAL_METRICS: Final = (
    Metric("coverage", True, 0.0, 1.0, "share of rows whose interval holds the outcome"),
    Metric("interval_width", False, 0.0, np.inf, "mean width of the interval"),
)


class Regression(Task):
    """See the module."""

    name: ClassVar[str] = "regression"

    @property
    def scoring(self) -> str:
        return _POISSON if self.is_count else "neg_root_mean_squared_error"

    @property
    def is_count(self) -> bool:
        label = self.contract.label
        return label.kind is Kind.INTEGER and label.minimum >= 0

    @cached_property
    def metrics(self) -> Mapping[str, Metric]:
        listed = [*_METRICS, *(_COUNT_METRICS if self.is_count else ())]
        if self.ends:
            listed += [*([_PINBALL] if self.coverage else []), *_INTERVAL_METRICS]
        return {metric.name: metric for metric in listed}

    def list_contract_problems(self) -> Iterator[str]:
        yield from list_foreign_columns(self, Role.LOWER, Role.UPPER)
        for column in (self.contract.prediction, *self._doubt_columns):
            if column.kind is not Kind.NUMBER or column.is_32_bit:
                yield f"{column.name} is a number of the answer; declare it as double"

    def encode(self, values: NDArray[Any]) -> NDArray[np.float64]:
        return values.astype(np.float64)

    def list_label_problems(self, y: NDArray[Any], what: str) -> list[str]:
        if not len(y):
            return [f"{what}: there are no rows"]
        if y.min() == y.max():
            return [f"{what}: all {len(y):,} rows have the label {y[0]:g}; two different ones or more must occur"]
        return []

    def strata(self, y: NDArray[Any]) -> NDArray[Any] | None:
        return None

    def outputs(self, estimator: Any, frame: Any) -> NDArray[np.float64]:
        values = np.asarray(estimator.predict(frame), dtype=np.float64)
        if values.shape not in ((len(frame),), (len(frame), 1)):
            raise ValueError(f"its predictions have the shape {values.shape}; allowed is ({len(frame)},), one per row")
        outputs = values.reshape(-1, 1)
        require_finite(outputs, "predictions")
        return outputs

    def perfect_outputs(self, y: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(y, dtype=np.float64).reshape(-1, 1)

    def predict_like(self, outputs: NDArray[np.float64]) -> RegressorMixin:
        return _Precomputed(outputs)

    def finish(
        self, outputs: NDArray[np.float64], calibration: AnyCalibration | None = None, doubt: Doubt | None = None
    ) -> Columns:
        prediction = self.contract.prediction
        values = clip(prediction, outputs[:, 0])
        answers = {prediction.name: values}
        if isinstance(doubt, Intervals):
            ends = zip(self.ends, apply_intervals(doubt, values), strict=False)
            answers |= {column.name: clip(column, end) for column, end in ends}
        return answers

    def find_calibration(self, folds: Folds) -> None:
        return None

    def neutral_calibration(self) -> None:
        return None

    def find_doubt(self, folds: Folds, coverage: float, calibration: AnyCalibration | None = None) -> Intervals:
        y, outputs = join(folds)
        return find_intervals(y, clip(self.contract.prediction, outputs[:, 0]), coverage)

    def weigh(self, y: NDArray[Any], answers: Columns) -> WeightedMetrics:
        return _Weighted(self, y, answers)

    def list_claim_problems(self) -> list[str]:
        if self.coverage is not None and self.ends:
            return []
        return [
            f"the number {self.contract.prediction.name} claims nothing that could be calibrated; declare columns with "
            "ROLE_LOWER and ROLE_UPPER in the prediction message, and a coverage in the recipe"
        ]

    def measure_reliability(
        self, y: NDArray[Any], answers: Columns, bins: int, weights: NDArray[np.float64] | None = None
    ) -> Reliability:
        covered = self.list_covered(y, answers)
        if self.coverage is None or not covered:
            raise ContractError("; ".join(self.list_claim_problems()) or "these answers have no intervals")
        claimed, values = np.full(len(y), self.coverage), answers[self.contract.prediction.name]
        return Reliability(
            error=calibration_error(claimed, covered["coverage"], bins, by=values, weights=weights),
            claimed=self.coverage,
            observed=float(np.average(covered["coverage"], weights=weights)),
            claim="stated coverage",
            outcome="share of outcomes within the interval",
        )

    def default_baseline(self) -> BaseEstimator:
        return DummyRegressor(strategy="mean")

    def default_linear(self) -> ModelAndSpace:
        if self.is_count:
            return PoissonRegressor(max_iter=1_000), {"alpha": (0.01, 1.0)}
        return Ridge(), {"alpha": (0.1, 10.0)}

    def default_boosting(self, seed: int) -> ModelAndSpace:
        loss = "poisson" if self.is_count else "squared_error"
        # Early stopping would hold out random rows, not later ones.
        return HistGradientBoostingRegressor(loss=loss, early_stopping=False, random_state=seed), BOOSTING_SPACE

    def describe_labels(self, y: NDArray[Any]) -> dict[str, float]:
        return {"mean": float(np.mean(y)), "median": float(np.median(y))}

    def scale(self, y: NDArray[Any]) -> float:
        # Not their magnitude: numbers around a hundred million may differ by ten.
        return float(np.abs(y - np.median(y)).max()) if len(y) and np.ptp(y) else 1.0

    @cached_property
    def ends(self) -> tuple[Column, ...]:
        """The columns of the lower and the upper end of the interval; () without one."""
        return (*self._with(Role.LOWER), *self._with(Role.UPPER))

    def list_covered(self, y: NDArray[Any], answers: Columns) -> dict[str, NDArray[np.float64]]:
        """Per row, whether its interval holds the outcome, its width, and its quantile loss; {} without intervals."""
        if not self.ends or not all(column.name in answers for column in self.ends):
            return {}
        lower, upper = (answers[column.name] for column in self.ends)
        found = {"coverage": ((lower <= y) & (y <= upper)).astype(np.float64), "interval_width": upper - lower}
        if self.coverage is not None:
            miss = (1 - self.coverage) / 2
            found["mean_pinball"] = (_pinball(y - lower, miss) + _pinball(y - upper, 1 - miss)) / 2
        return found


def _pinball(distances: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    """Loss of a quantile, from the distances of outcomes above it."""
    return np.maximum(quantile * distances, (quantile - 1) * distances)


def _poisson_deviance(y: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviance of counts from expected counts; one of 0 is taken as the smallest that can be told from 0 in 1."""
    expected = np.maximum(values, np.finfo(np.float64).eps)
    # The logarithm of 0 counts for nothing, as its limit does.
    ratio = np.where(y > 0, y, expected) / expected
    return np.asarray(2 * (y * np.log(ratio) - y + expected))


class _Weighted:
    def __init__(self, task: Regression, y: NDArray[Any], answers: Columns) -> None:
        self._task, self._y, self._answers = task, y, answers
        self._values = answers[task.contract.prediction.name]

    def __call__(self, names: Sequence[str], weights: NDArray[Any]) -> dict[str, float]:
        found = average(self._losses, {*names, *(("_squared",) if {"rmse", "r2"} & {*names} else ())}, weights)
        if "_squared" in found:
            found["rmse"] = float(np.sqrt(found["_squared"]))
        if "r2" in names:
            found |= self._explain(found["_squared"], weights)
        if "median_absolute_error" in names:
            found["median_absolute_error"] = self._median(weights)
        return {name: found[name] for name in names if name in found}

    def _explain(self, squared: float, weights: NDArray[Any]) -> dict[str, float]:
        """R²; {} if all outcomes with weight are equal."""
        shares = weights / weights.sum()
        mean = np.einsum("i,i->", shares, self._y)
        variance = float(np.einsum("i,i->", shares, (self._y - mean) ** 2))
        weighing = self._y[weights > 0]
        return {"r2": 1 - squared / variance} if weighing.min() < weighing.max() else {}

    def _median(self, weights: NDArray[Any]) -> float:
        """The weighted median: the mean of the two middle errors of an even number."""
        order, ascending = self._sorted_errors
        sums = np.cumsum(weights[order])
        half = sums[-1] / 2
        middle = np.searchsorted(sums, half), np.searchsorted(sums, half, "right")
        return float((ascending[middle[0]] + ascending[min(middle[1], len(sums) - 1)]) / 2)

    @cached_property
    def _sorted_errors(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        errors = self._losses["mae"]
        order = np.argsort(errors, kind="stable")
        return order, errors[order]

    @cached_property
    def _losses(self) -> Mapping[str, NDArray[np.float64]]:
        errors = self._y - self._values
        losses = {"mae": np.abs(errors), "_squared": errors**2, **self._task.list_covered(self._y, self._answers)}
        if self._task.is_count:
            losses["mean_poisson_deviance"] = _poisson_deviance(self._y, self._values)
        return losses


class _Precomputed(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A regressor that gives the same numbers for any rows, for scikit-learn's scorers."""

    def __init__(self, outputs: NDArray[np.float64]) -> None:
        self.outputs = outputs

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, frame: Any) -> NDArray[np.float64]:
        return self.outputs[:, 0]
