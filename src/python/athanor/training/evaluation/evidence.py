"""What gates and the model card are based on: held-out rows and the predictions for them."""

from collections.abc import Iterator
from dataclasses import dataclass
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

_PART_ROWS: Final = 50_000


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
        frame: input of a pipeline: a data frame of the numeric features, then the categorical ones.
        labels: 0 and 1, shape (n,).
    """

    columns: Columns
    frame: Any
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def make(cls, model: Model, columns: Columns) -> "Rows":
        """Computes features and labels. Raises ContractError as `compute_frame`."""
        return cls(columns, compute_frame(model, columns), columns[model.contract.label.name].astype(np.int64))

    def span(self, model: Model) -> "Span":
        """Event times of the first and the last row; there is at least one."""
        times = self.columns[model.contract.event_time.name]
        return Span(f"{times.min()}Z", f"{times.max()}Z")

    def take(self, chosen: NDArray[Any]) -> "Rows":
        """The rows at some positions, or where a mask is true."""
        return Rows(
            {name: values[chosen] for name, values in self.columns.items()},
            self.frame.iloc[np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen],
            self.labels[chosen],
        )


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
        raise ContractError(f"{_name_function(model)}: {'; '.join(problems)}")
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
            f"{rows[0]}; allowed are finite float32 numbers, and NaN for a missing one"
        )


def spread(length: int, count: int) -> NDArray[np.int64]:
    """Up to `count` evenly spaced positions."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).astype(np.int64))


@dataclass(frozen=True)
class Champion:
    """The current champion, for comparison with the new release.

    Attributes:
        probabilities: its predictions for the same rows; None if they cannot be had, and `reason` says why.
    """

    semantic_version: str
    digest: str
    probabilities: NDArray[np.float64] | None
    reason: str = ""


@dataclass(frozen=True)
class Evidence:
    """A fitted model and its predictions for the rows that the split held out.

    Attributes:
        rows: n held-out rows.
        pipeline: the fitted scikit-learn classifier, including its calibration if any.
        graph: features, pipeline and calibration as ONNX; what will be served.
        probabilities: the graph's predictions, shape (n,).
        baseline: the baseline's predictions, shape (n,).
        champion: None if the model has none.
        candidate: name of the candidate that was fitted.
        trained: of the training rows; None if unknown.
    """

    model: Model
    rows: Rows
    pipeline: Any
    graph: bytes
    probabilities: NDArray[np.float64]
    baseline: NDArray[np.float64]
    champion: Champion | None = None
    seed: int = 0
    candidate: str = ""
    trained: Span | None = None

    @cached_property
    def session(self) -> Graph:
        """The graph, ready to run."""
        return Graph(self.graph, GraphInputs.of(self.model.contract.columns))

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """The graph's probabilities for other rows, shape (n,)."""
        return self.session.predict_probability(columns)
