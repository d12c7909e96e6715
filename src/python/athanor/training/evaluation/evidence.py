"""What gates and the model card judge by: rows the model was not trained on, and what is answered for them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns, Role
from athanor.data.tables.tables import join_blocks
from athanor.features.features import FeatureArrays, Model
from athanor.release.predictor import Graph


@dataclass(frozen=True)
class Rows:
    """Some rows of a snapshot in all their forms.

    Attributes:
        columns: all columns of the dataset.
        frame: what a pipeline is given: a data frame of the numeric features, then the categorical ones.
        labels: 0 and 1, shape (n,).
    """

    columns: Columns
    features: FeatureArrays
    frame: Any
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def make(cls, model: Model, columns: Columns) -> "Rows":
        """Computes features and labels of rows."""
        features = compute_features(model, columns)
        labels = columns[model.contract.label.name].astype(np.int64)
        names = model.features
        frame = join_blocks((names.numeric, features.numeric), (names.categorical, features.categorical))
        return cls(columns, features, frame, labels)

    def take(self, chosen: NDArray[Any]) -> "Rows":
        """Those at some positions, or where a mask is true."""
        return Rows(
            {name: values[chosen] for name, values in self.columns.items()},
            self.features.take(chosen),
            self.frame.iloc[np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen],
            self.labels[chosen],
        )


def compute_features(model: Model, columns: Columns) -> FeatureArrays:
    """What serving will not have, or what is no feature, is not there to be looked at."""
    contract = model.contract
    return model.features({c.name: columns[c.name] for c in contract.columns if Role.FEATURE in c.roles})


def spread(length: int, count: int) -> NDArray[np.int64]:
    """Up to `count` positions, evenly over all rows."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).astype(np.int64))


@dataclass(frozen=True)
class Champion:
    """The release that answers now, beside the one that is judged.

    Attributes:
        probabilities: its answers for the same rows; None where it cannot be asked, and `reason` says why.
        is_of_another_major: whether callers of its contract could not call the release that is judged.
    """

    semantic_version: str
    digest: str
    probabilities: NDArray[np.float64] | None
    reason: str = ""
    is_of_another_major: bool = False


@dataclass(frozen=True)
class Evidence:
    """A fitted model and what it answers for rows later than all that it was trained on.

    Attributes:
        rows: n rows.
        pipeline: the fitted scikit-learn classifier, calibrated where that helps.
        graph: the same as ONNX; what will be served.
        probabilities: answers of the graph, shape (n,).
        baseline: answers of the baseline, shape (n,).
        champion: None where nothing takes traffic yet.
    """

    model: Model
    rows: Rows
    pipeline: Any
    graph: bytes
    probabilities: NDArray[np.float64]
    baseline: NDArray[np.float64]
    champion: Champion | None = None
    seed: int = 0

    @cached_property
    def session(self) -> Graph:
        """The graph, ready to run."""
        return Graph(self.graph)

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """What the graph answers for other rows: probabilities, one for each."""
        return self.session.predict_probability(compute_features(self.model, columns))
