"""Runs ONNX graphs: contract columns in, probabilities and features out."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.inputs import INSTANTS, NUMBERS, TEXTS, GraphInputs
from athanor.release.self_contained import require_self_contained

NUMERIC: Final = "numeric"
CATEGORICAL: Final = "categorical"
PROBABILITIES: Final = "probabilities"
_FEW_ROWS: Final = 8

TOLERANCE: Final = 1e-6
"""Largest allowed difference between two probabilities that should be equal."""


@dataclass(frozen=True)
class FeatureArrays:
    """Features of n rows.

    Attributes:
        numeric: float32 of shape (n, number of numeric features); NaN for missing.
        categorical: object array of `str` of shape (n, number of categorical features); "" for missing.
    """

    numeric: NDArray[np.float32]
    categorical: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.numeric)

    def take(self, chosen: NDArray[Any] | slice) -> "FeatureArrays":
        """The features of the rows at some positions, or where a mask is true."""
        return FeatureArrays(self.numeric[chosen], self.categorical[chosen])

    @classmethod
    def join(cls, parts: Iterable["FeatureArrays"]) -> "FeatureArrays":
        """The features of the rows of all parts, in their order; there is at least one part."""
        listed = list(parts)
        return cls(np.concatenate([p.numeric for p in listed]), np.concatenate([p.categorical for p in listed]))


class Graph:
    """An ONNX graph that takes contract columns: a whole model, or its features alone.

    The outputs of a model are `probabilities`, float32 of shape (n, 2), and its features, `numeric` and `categorical`
    as in `FeatureArrays`, which are computed in any case and copied only on request. One without columns is absent.

    Attributes:
        numeric, categorical: names of the features; empty in a graph that does not name them.
    """

    def __init__(self, content: bytes, inputs: GraphInputs) -> None:
        """Args: inputs: of the contract. The graph may have fewer: those that it uses.

        Raises ReleaseError if the graph reads files; onnxruntime raises errors of its own.
        """
        require_self_contained(content)
        options = onnxruntime.SessionOptions()
        # Its own format keeps data in files too.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        # Replicas scale by processes, and would compete with the threads of a session.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # An arena keeps what the largest request took: 4.3 MB for 10,000 rows, in each session. The allocator of the
        # process is as fast, and shared.
        options.enable_cpu_mem_arena = False
        # Fatal ones alone. It raises every error, and would write it to standard error too, with values of the request.
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        used = {node.name for node in self._session.get_inputs()}
        self._inputs = replace(inputs, **{name: () for name in (NUMBERS, INSTANTS, TEXTS) if name not in used})
        outputs = {node.name for node in self._session.get_outputs()}
        self._features = [name for name in (NUMERIC, CATEGORICAL) if name in outputs]
        names = self._session.get_modelmeta().custom_metadata_map
        self.numeric: tuple[str, ...] = tuple(json.loads(names.get(NUMERIC, "[]")))
        self.categorical: tuple[str, ...] = tuple(json.loads(names.get(CATEGORICAL, "[]")))

    def predict_probability(self, columns: Columns) -> NDArray[np.float64]:
        """Probability of the positive class for each row; float64 of length n."""
        return _of_positive(*self._session.run([PROBABILITIES], self._inputs.pack(columns)))

    def predict_with_features(self, columns: Columns) -> tuple[NDArray[np.float64], FeatureArrays]:
        """Probabilities, as `predict_probability`, and the features that they come from."""
        probabilities, *features = self._session.run([PROBABILITIES, *self._features], self._inputs.pack(columns))
        return _of_positive(probabilities), self._gather(features, len(probabilities))

    def compute_features(self, columns: Columns) -> FeatureArrays:
        """The features alone. Of a whole model, no node that they do not need is run."""
        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True
        features = self._session.run(self._features, self._inputs.pack(columns), options)
        return self._gather(features, len(next(iter(columns.values()))))

    def _gather(self, features: list[NDArray[Any]], count: int) -> FeatureArrays:
        absent = {NUMERIC: np.empty((count, 0), np.float32), CATEGORICAL: np.empty((count, 0), np.object_)}
        return FeatureArrays(**{**absent, **dict(zip(self._features, features, strict=True))})


def _of_positive(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    return clip(probabilities[:, 1].astype(np.float64), 0.0, 1.0)


def are_within(probabilities: NDArray[np.float64], lowest: float, highest: float) -> bool:
    """Whether none is below, above or NaN."""
    if len(probabilities) <= _FEW_ROWS:
        # For one row a quarter of the time of a minimum and a maximum.
        return all(lowest <= probability <= highest for probability in probabilities.tolist())
    return bool(probabilities.min() >= lowest and probabilities.max() <= highest)


def clip(probabilities: NDArray[np.float64], lowest: float, highest: float) -> NDArray[np.float64]:
    """Moves what rounding moved out of a range back: a forest's float32 sum may exceed 1 by 1e-7. Leaves the rest."""
    if are_within(probabilities, lowest, highest):
        return probabilities
    clipped = np.clip(probabilities, lowest, highest)
    is_rounding = np.abs(clipped - probabilities) <= TOLERANCE
    return np.where(is_rounding, clipped, probabilities)
