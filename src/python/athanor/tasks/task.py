"""The interface of a task: everything that depends on what the label asks."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer

from athanor.contract.columns import Column, Columns, Kind, Role
from athanor.contract.contract import Contract
from athanor.contract.descriptors import from_descriptors, to_descriptors
from athanor.errors import ContractError
from athanor.release.answers import TOLERANCE
from athanor.release.manifest import Calibration, Intervals, Sets, Temperature

AnyCalibration: TypeAlias = Calibration | Temperature
Doubt: TypeAlias = Intervals | Sets
Folds: TypeAlias = Sequence[tuple[NDArray[Any], NDArray[np.float64]]]
"""Encoded labels and outputs of the later rows of each fold of a search, in the order of the folds."""
ModelAndSpace: TypeAlias = tuple[BaseEstimator, Mapping[str, Sequence[float]]]
BOOSTING_SPACE: Final[Mapping[str, Sequence[float]]] = {"max_leaf_nodes": (7, 31), "learning_rate": (0.05, 0.1)}

_UNIT: Final = (0.0, 1.0)


@dataclass(frozen=True)
class Metric:
    """A measure of answers against labels.

    Attributes:
        lowest, highest: its range; infinite where there is no bound.
        scorer: scikit-learn's name of the same as a score to maximise; "" if there is none.
    """

    name: str
    greater_is_better: bool
    lowest: float
    highest: float
    description: str
    scorer: str = ""

    @property
    def width(self) -> float:
        """The largest difference of two values."""
        return self.highest - self.lowest

    def gain(self, ours: float, theirs: float) -> float:
        """How much better `ours` is than `theirs`; positive if it is."""
        return ours - theirs if self.greater_is_better else theirs - ours


class WeightedMetrics(Protocol):
    """Metrics of fixed answers under varying weights; equal to scikit-learn's with `sample_weight`.

    Whatever does not depend on weights is computed once, so that a bootstrap costs little more than its draws.
    """

    def __call__(self, names: Sequence[str], weights: NDArray[Any]) -> dict[str, float]:
        """The metrics by name, without those that rows of positive weight do not define.

        Args:
            weights: 0 or more, shape (n,), not all 0. Integers give the metrics of rows that occur that often.
        """


@dataclass(frozen=True)
class Reliability:
    """How far what answers claim is from what came true.

    Attributes:
        error: the mean distance over bins of rows, weighted by their rows.
        claimed, observed: over all rows.
        claim, outcome: what the two are, in words.
    """

    error: float
    claimed: float
    observed: float
    claim: str
    outcome: str


@dataclass(frozen=True)
class Task(ABC):
    """What a label asks. `task_of` makes it from a contract.

    Labels `y` are encoded, shape (n,): true as 1, a category as its position in `categories` of the label, a number as
    it is. Outputs of an estimator are float64 of shape (n, k). Answers are columns of the contract's `answer` by name.

    Attributes:
        coverage: share of outcomes that intervals or sets are made to hold; None if answers say no doubt.
        scoring: scikit-learn's name of the score that a search maximises by default.
    """

    contract: Contract
    coverage: float | None = None

    name: ClassVar[str]

    def __reduce__(self) -> tuple[Any, ...]:
        # A search sends it to its workers, and descriptors cannot be pickled.
        names = self.contract.service.full_name, self.contract.outcome.full_name
        return _restore, (type(self), to_descriptors(self.contract), *names, self.coverage)

    def __deepcopy__(self, _: Any) -> "Task":
        return self

    @property
    @abstractmethod
    def scoring(self) -> str: ...

    @property
    @abstractmethod
    def metrics(self) -> Mapping[str, Metric]:
        """By name; the first is shown where there is room for one."""

    @abstractmethod
    def list_contract_problems(self) -> Iterator[str]:
        """Why the contract's label and answer do not fit together, with remedies."""

    @abstractmethod
    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        """Labels `y` from the label's column. Raises DataError if a value is no category of the label."""

    @abstractmethod
    def list_label_problems(self, y: NDArray[Any], what: str) -> list[str]:
        """Why rows with these labels cannot be fitted or evaluated; `what` names the rows."""

    @abstractmethod
    def strata(self, y: NDArray[Any]) -> NDArray[Any] | None:
        """Groups of rows that a split keeps in proportion, shape (n,); None if there are none."""

    @abstractmethod
    def outputs(self, estimator: Any, frame: Any) -> NDArray[np.float64]:
        """What a fitted estimator says of rows.

        Raises:
            ValueError: its shape is wrong, or a value is NaN or infinite.
        """

    @abstractmethod
    def perfect_outputs(self, y: NDArray[Any]) -> NDArray[np.float64]:
        """Outputs that know the labels, shape (n, k)."""

    @abstractmethod
    def predict_like(self, outputs: NDArray[np.float64]) -> Any:
        """An estimator that gives these outputs, whatever it is asked, for scikit-learn's scorers."""

    @abstractmethod
    def finish(
        self, outputs: NDArray[np.float64], calibration: AnyCalibration | None = None, doubt: Doubt | None = None
    ) -> Columns:
        """Answers from outputs: what the nodes that follow an estimator in a compiled graph compute, in numpy.

        Without doubt, the columns of intervals or sets are left out.
        """

    @abstractmethod
    def find_calibration(self, folds: Folds) -> AnyCalibration | None:
        """Calibration from outputs for later rows; None if it does not help, or there is none for the task."""

    @abstractmethod
    def neutral_calibration(self) -> AnyCalibration | None:
        """Calibration that changes nothing; None if there is none for the task."""

    @abstractmethod
    def find_doubt(self, folds: Folds, coverage: float, calibration: AnyCalibration | None = None) -> Doubt:
        """Conformal intervals or sets from outputs for later rows.

        Raises:
            DataError: there are too few rows for the coverage.
        """

    @abstractmethod
    def weigh(self, y: NDArray[Any], answers: Columns) -> WeightedMetrics:
        """Metrics of answers, to be weighted. Without the columns of a metric, it is not defined."""

    def list_claim_problems(self) -> list[str]:
        """Why answers claim nothing that could be calibrated, with a remedy; [] if they do."""
        return []

    @abstractmethod
    def measure_reliability(
        self, y: NDArray[Any], answers: Columns, bins: int, weights: NDArray[np.float64] | None = None
    ) -> Reliability:
        """The calibration error, with bins of equal counts; see `athanor.tasks.reliability`.

        Raises:
            ContractError: the answers claim nothing that could be wrong.
        """

    def one_vs_rest(self, y: NDArray[Any], answers: Columns) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """Labels 0 and 1 and their probabilities, for curves: true against false, or each category against the others.

        Returns:
            Two arrays of shape (n,), or (n times categories,); None if answers are no probabilities.
        """
        return None

    @abstractmethod
    def default_baseline(self) -> BaseEstimator:
        """An estimator that knows labels alone."""

    @abstractmethod
    def default_linear(self) -> ModelAndSpace:
        """A linear model, and values of its parameters to try."""

    @abstractmethod
    def default_boosting(self, seed: int) -> ModelAndSpace:
        """Gradient boosting, and values of its parameters to try."""

    @abstractmethod
    def describe_labels(self, y: NDArray[Any]) -> dict[str, float]:
        """A few figures of labels, by what they are; there is at least one label."""

    def scale(self, y: NDArray[Any]) -> float:
        """The unit of differences: 1 for probabilities; of numbers the largest distance of a label from the median."""
        return 1.0

    def tolerance(self, y: NDArray[Any]) -> float:
        """The largest difference of equal answers."""
        return TOLERANCE * self.scale(y)

    def evaluate(
        self,
        y: NDArray[Any],
        answers: Columns,
        weights: NDArray[np.float64] | None = None,
        names: Sequence[str] | None = None,
    ) -> dict[str, float]:
        """The metrics that these rows and answers define, by name; {} without any weight.

        Args:
            weights: 0 or more, shape (n,); equal weights if not given.
            names: of the metrics; all if not given.
        """
        weights = np.ones(len(y), np.int64) if weights is None else weights
        return self.weigh(y, answers)(names or tuple(self.metrics), weights) if weights.any() else {}

    def score(
        self, scoring: str, y: NDArray[Any], outputs: NDArray[np.float64], weights: NDArray[np.float64] | None = None
    ) -> float:
        """A score of outputs, greater is better, by scikit-learn's name; NaN where these rows do not define it.

        A metric of the task is computed by the task, which copes with absent categories. Any other one is computed by
        scikit-learn, and raises what that raises.
        """
        metric = next((each for each in self.metrics.values() if each.scorer == scoring), None)
        if metric is None:
            given = {} if weights is None else {"sample_weight": weights}
            return float(get_scorer(scoring)(self.predict_like(outputs), np.zeros((len(y), 1)), y, **given))
        value = self.evaluate(y, self.finish(outputs), weights, (metric.name,)).get(metric.name, math.nan)
        return value if metric.greater_is_better else -value

    def column_of(self, category: str | None) -> Column:
        """The number in the answer that a check of behaviour is about.

        Args:
            category: of the label, whose probability is meant; None for the prediction itself.

        Raises:
            ContractError: there is no such number.
        """
        if category is None and self.contract.prediction.kind is Kind.NUMBER:
            return self.contract.prediction
        of_category = {column.category: column for column in self._with(Role.PROBABILITY)}
        if category in of_category:
            return of_category[category]
        if of_category:
            found = "no category is named" if category is None else f"{category!r} is no category of the label"
            raise ContractError(f"{found}; use of= with one of {', '.join(of_category)}")
        raise ContractError(f"of={category!r} does not apply to the answer {self.contract.prediction.name}; remove it")

    def _with(self, role: Role) -> tuple[Column, ...]:
        return tuple(column for column in self.contract.answer if role in column.roles)

    @cached_property
    def _doubt_columns(self) -> tuple[Column, ...]:
        return tuple(c for c in self.contract.answer if c.roles & {Role.LOWER, Role.UPPER, Role.IN_SET})


def _restore(kind: type[Task], files: bytes, service: str, outcome: str, coverage: float | None) -> Task:
    return kind(from_descriptors(files, service, outcome), coverage)


def list_foreign_columns(task: Task, *roles: Role) -> Iterator[str]:
    """Complaints about columns of an answer with roles that the task has no use for."""
    for column in task.contract.answer:
        if not column.roles & {Role.PREDICTION, *roles}:
            names = ", ".join(sorted(f"ROLE_{role.name}" for role in column.roles))
            yield f"{column.name} has {names}, which a {task.name} label has no use for; remove it"


def list_probability_problems(column: Column) -> Iterator[str]:
    if column.kind is not Kind.NUMBER or column.is_32_bit or (column.minimum, column.maximum) != _UNIT:
        yield f"{column.name} is a probability; declare it as double, with minimum: 0 maximum: 1"


def list_set_problems(task: Task, categories: Sequence[str], role: Role) -> Iterator[str]:
    """Complaints about columns that are about one category each."""
    named = [column.category for column in task.contract.answer if role in column.roles]
    if unknown := sorted(set(named) - set(categories)):
        yield f"ROLE_{role.name} names {', '.join(unknown)}; the label has {', '.join(categories)}"
    if lacking := [category for category in categories if category not in named]:
        yield f"no column has ROLE_{role.name} of the category {', '.join(lacking)}; add one for each"


def clip(column: Column, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Moves numbers into a column's range; NaN stays NaN."""
    return np.clip(values, column.minimum, column.maximum)
