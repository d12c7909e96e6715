"""Runs a release: contract columns in, probabilities out. Loading a release runs none of its code."""

from typing import Any, Final

import numpy as np
import onnxruntime
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.messages import to_columns
from athanor.errors import ReleaseError
from athanor.features.features import FeatureArrays, Model
from athanor.release.files import GRAPH, REFERENCE_ROWS, Release

TOLERANCE: Final = 1e-6
"""Largest allowed difference between two probabilities that should be equal."""


class Graph:
    """An ONNX graph of a binary classifier with the inputs `numeric` and `categorical` of `FeatureArrays`."""

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        # Replicas scale by processes, and would compete with the threads of a session.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._inputs = frozenset(node.name for node in self._session.get_inputs())

    def predict_probability(self, features: FeatureArrays) -> NDArray[np.float64]:
        """Probability of the positive class for each row; float64 of length n."""
        arrays: dict[str, NDArray[Any]] = {"numeric": features.numeric, "categorical": features.categorical}
        outputs = self._session.run(["probabilities"], {name: arrays[name] for name in self._inputs})
        # A forest's float32 sum may exceed 1 by 1e-7.
        return np.asarray(np.clip(outputs[0][:, 1], 0, 1), dtype=np.float64)


class Predictor:
    """A release, with the code that makes its features."""

    def __init__(self, release: Release, model: Model) -> None:
        """Loads the graph and verifies its answers to the release's reference rows.

        Raises:
            ReleaseError: the release needs another contract or other features than this code has, its graph cannot be
                loaded, or its answers to the reference rows differ from those recorded in training.
        """
        self.release = release
        self.model = model
        self._check_code()
        try:
            self._graph = Graph(release.files[GRAPH])
            difference = self._measure_difference()
        except Exception as error:  # noqa: BLE001 - onnxruntime has a class for each kind of damage
            raise ReleaseError(f"{release.location}/{GRAPH} cannot be run: {error}") from None
        if not np.all(difference <= TOLERANCE):
            raise ReleaseError(
                f"release {release.digest} answers reference row {difference.argmax()} with a difference of "
                f"{difference.max():.3g} from its answer in training; allowed is {TOLERANCE:g}"
            )

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Probabilities for `n` rows of valid contract columns; float64 of length n, each from 0 to 1."""
        return self.answer(self.model.features(columns))

    def answer(self, features: FeatureArrays) -> NDArray[np.float64]:
        """Probabilities, as `predict`, from the features of `n` rows."""
        return self._graph.predict_probability(features)

    def _check_code(self) -> None:
        identity = self.release.identity
        for what, of_release, of_code in (
            ("model", identity.model, self.model.name),
            ("contract", identity.contract, self.model.contract.fingerprint),
            ("features", identity.features, self.model.features.digest),
        ):
            if of_release != of_code:
                raise ReleaseError(
                    f"release {self.release.digest} was trained with {what} {of_release}; this binary has {of_code}. "
                    "Serve it with the binary of its commit, or train again"
                )

    def _measure_difference(self) -> NDArray[np.float64]:
        """Distance of the answer to each reference row from the recorded one."""
        reference = self.release.json(REFERENCE_ROWS)
        row_class = GetMessageClass(self.model.contract.row)
        rows = [json_format.ParseDict(row, row_class()) for row in reference["rows"]]
        answers = self.predict(to_columns(self.model.contract.columns, rows))
        return np.asarray(np.abs(answers - np.array(reference["predictions"])))
