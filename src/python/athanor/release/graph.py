"""Runs ONNX graphs: contract columns in, answer columns and features out."""

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
ANSWERS: Final = "answers"
"""Output with the numbers and booleans of the answer, and the property that names their columns."""
CATEGORY: Final = "category"
"""Output with the category of the answer, and the property that names its column."""


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

    The outputs of a model are `answers`, float64 of shape (n, columns), true as 1; `category`, texts of shape (n,), if
    the label has categories; and its features, `numeric` and `categorical` as in `FeatureArrays`, which are computed in
    any case and copied only on request. One without columns is absent. Properties of the graph, JSON lists of names,
    say which columns each output has.

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
        listed = self._session.get_modelmeta().custom_metadata_map
        names = {name: tuple(json.loads(listed.get(name, "[]"))) for name in (NUMERIC, CATEGORICAL, ANSWERS, CATEGORY)}
        self.numeric: tuple[str, ...] = names[NUMERIC]
        self.categorical: tuple[str, ...] = names[CATEGORICAL]
        self._answers: dict[str, tuple[str, ...]] = {name: names[name] for name in (ANSWERS, CATEGORY) if names[name]}

    def answer(self, columns: Columns) -> Columns:
        """The answer columns of n rows: numbers and booleans as float64, the category as an object array of `str`."""
        return self._name(self._session.run([*self._answers], self._inputs.pack(columns)))

    def answer_with_features(self, columns: Columns) -> tuple[Columns, FeatureArrays]:
        """The answers, as `answer`, and the features that they come from."""
        found = self._session.run([*self._answers, *self._features], self._inputs.pack(columns))
        count = len(self._answers)
        return self._name(found[:count]), self._gather(found[count:], len(found[0]))

    def compute_features(self, columns: Columns) -> FeatureArrays:
        """The features alone. Of a whole model, no node that they do not need is run."""
        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True
        features = self._session.run(self._features, self._inputs.pack(columns), options)
        return self._gather(features, len(next(iter(columns.values()))))

    def _gather(self, features: list[NDArray[Any]], count: int) -> FeatureArrays:
        absent = {NUMERIC: np.empty((count, 0), np.float32), CATEGORICAL: np.empty((count, 0), np.object_)}
        return FeatureArrays(**{**absent, **dict(zip(self._features, features, strict=True))})

    def _name(self, outputs: list[NDArray[Any]]) -> Columns:
        named: dict[str, NDArray[Any]] = {}
        for names, values in zip(self._answers.values(), outputs, strict=True):
            if len(names) == 1:
                # The tensor itself, for the most usual task.
                named[names[0]] = values.reshape(-1)
            else:
                named.update(zip(names, values.T, strict=True))
        return named
