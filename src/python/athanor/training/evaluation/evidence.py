"""What gates and the model card are based on: held-out rows and the predictions for them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.inputs import GraphInputs
from athanor.data.tables.tables import join_blocks
from athanor.errors import ContractError
from athanor.features.features import Model
from athanor.release.graph import FeatureArrays, Graph
from athanor.tasks.task import AnyCalibration, Doubt, Task

_PART_ROWS: Final = 50_000
_ALLOWED: Final = (
    "allowed are finite float32 numbers, up to 3.4e38, and NaN for a missing one: bound the contract's columns by "
    "`minimum` and `maximum`, or the feature by `clip`"
)


@dataclass(frozen=True)
class Span:
    """Event times of the first and the last of some rows, ISO 8601, UTC, to the microsecond."""

    first: str
    last: str

    def is_after(self, other: "Span") -> bool:
        """Whether all rows are later than all of another span."""
        return other.last < self.first


@dataclass(frozen=True)
class Rows:
    """Rows of a snapshot as columns, features and labels.

    Attributes:
        columns: all columns of the dataset.
        frame: input of a pipeline: a data frame of the numeric features, then the categorical ones; None if they were
            not computed.
        labels: as the task encodes them, shape (n,).
        weights: float64 of shape (n,), 0 or more; None if the contract has no ROLE_WEIGHT, and all rows count alike.
        groups: numbers from 0 of the group of each row, shape (n,); None if the contract has no ROLE_GROUP.
    """

    columns: Columns
    frame: Any
    labels: NDArray[Any]
    weights: NDArray[np.float64] | None = None
    groups: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def make(cls, task: Task, model: Model, columns: Columns) -> "Rows":
        """Computes features and labels. Raises ContractError as `compute_frame`, DataError as `task.encode`."""
        return replace(cls.make_without_features(task, columns), frame=compute_frame(model, columns))

    @classmethod
    def make_without_features(cls, task: Task, columns: Columns) -> "Rows":
        """Rows for an evaluation of answers. Raises DataError as `task.encode`."""
        label, weight, group = task.contract.label, task.contract.weight, task.contract.group
        return cls(
            columns=columns,
            frame=None,
            labels=task.encode(columns[label.name]),
            weights=columns[weight.name].astype(np.float64) if weight else None,
            groups=_number(columns[group.name]) if group else None,
        )

    @property
    def counted_labels(self) -> NDArray[Any]:
        """Labels of the rows whose weight is above 0: no fit, score or metric sees the others."""
        return self.labels if self.weights is None else self.labels[self.weights > 0]

    def span(self, model: Model) -> Span | None:
        """Event times of the first and the last row; None if the contract has none. There is at least one row."""
        if model.contract.event_time is None:
            return None
        times = self.columns[model.contract.event_time.name]
        return Span(f"{times.min()}Z", f"{times.max()}Z")

    def take(self, chosen: NDArray[Any]) -> "Rows":
        """The rows at some positions, or where a mask is true."""
        positions = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        return Rows(
            columns={name: values[chosen] for name, values in self.columns.items()},
            frame=None if self.frame is None else self.frame.iloc[positions],
            labels=self.labels[chosen],
            weights=None if self.weights is None else self.weights[chosen],
            groups=None if self.groups is None else _number(self.groups[chosen]),
        )


def _number(values: NDArray[Any]) -> NDArray[np.int64]:
    """Numbers from 0 for different values, without gaps."""
    return np.unique(values.astype(str) if values.dtype == np.object_ else values, return_inverse=True)[1]


def compute_frame(model: Model, columns: Columns) -> Any:
    """The input of a pipeline, computed from the ROLE_FEATURE columns by the graph that becomes part of a release.

    Raises:
        ContractError: the project's function cannot be traced, or fails on some rows, or a feature is infinite.
    """
    graph = Graph(model.graph, GraphInputs.of(model.contract.columns))
    count = len(next(iter(columns.values())))
    # Each node's values of a part are in memory at once, and each part costs a run.
    parts = (slice(first, first + _PART_ROWS) for first in range(0, max(count, 1), _PART_ROWS))
    try:
        features = FeatureArrays.join(
            graph.compute_features({name: values[part] for name, values in columns.items()}) for part in parts
        )
    except Exception as error:  # onnxruntime has a class for each kind of failure
        raise ContractError(f"{_name_function(model)} fails on these rows: {error}") from error
    if problems := list(_list_infinite(model, features)):
        raise ContractError(f"{_name_function(model)}: {'; '.join(problems)}; {_ALLOWED}")
    names = model.features
    return join_blocks((names.numeric, features.numeric), (names.categorical, features.categorical))


def _name_function(model: Model) -> str:
    compute = model.features.compute
    return f"the feature function {compute.__module__}.{getattr(compute, '__qualname__', compute)}"


def _list_infinite(model: Model, features: FeatureArrays) -> Iterator[str]:
    is_infinite = np.isinf(features.numeric)
    for position in np.flatnonzero(is_infinite.any(axis=0)):
        rows = np.flatnonzero(is_infinite[:, position])
        yield (
            f"{model.features.numeric[position]} is infinite in {len(rows):,} of {len(features):,} rows, first in row "
            f"{rows[0]}"
        )


def spread(length: int, count: int) -> NDArray[np.int64]:
    """Up to `count` evenly spaced positions."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).astype(np.int64))


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline with what is found from a search: together they answer as the graph does.

    Attributes:
        pipeline: a fitted scikit-learn estimator.
        calibration: of its probabilities; None if it does not help.
        doubt: of its answers; None if the recipe asks for none.
    """

    pipeline: Any
    task: Task
    calibration: AnyCalibration | None = None
    doubt: Doubt | None = None

    def answer(self, frame: Any) -> Columns:
        """Answers for rows of features. Raises ValueError as `task.outputs`."""
        return self.task.finish(self.task.outputs(self.pipeline, frame), self.calibration, self.doubt)


@dataclass(frozen=True)
class Champion:
    """The current champion, for comparison with the new release.

    Attributes:
        answers: to the same rows; None if they cannot be had, and `reason` says why.
    """

    semantic_version: str
    digest: str
    answers: Columns | None
    reason: str = ""


@dataclass(frozen=True)
class Evidence:
    """A fitted model and its answers for the rows that the split held out.

    Attributes:
        rows: n held-out rows.
        fitted: what the graph was compiled from.
        graph: features, pipeline, calibration and doubt as ONNX; what will be served.
        answers: the graph's, columns of length n.
        baseline: the baseline's answers, columns of length n, without intervals or sets.
        champion: None if the model has none.
        candidate: name of the candidate that was fitted.
        trained: of the training rows; None if unknown, or if the contract has no event time.
        evaluated: if this is a refit, which has seen these rows, the evaluated model's answers; None otherwise.
    """

    model: Model
    task: Task
    rows: Rows
    fitted: Fitted
    graph: bytes
    answers: Columns
    baseline: Columns
    champion: Champion | None = None
    seed: int = 0
    candidate: str = ""
    trained: Span | None = None
    evaluated: Columns | None = None

    @cached_property
    def session(self) -> Graph:
        """The graph, ready to run."""
        return Graph(self.graph, GraphInputs.of(self.model.contract.columns))

    def predict(self, columns: Columns) -> Columns:
        """The graph's answers for other rows, columns of their length."""
        return self.session.answer(columns)
