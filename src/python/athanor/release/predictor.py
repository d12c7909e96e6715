"""Runs a release: contract columns in, probabilities out. Loading a release runs none of its code."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import onnxruntime
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.messages import to_columns
from athanor.contract.validation import Breach, validate
from athanor.errors import ReleaseError
from athanor.features.features import FeatureArrays, Model
from athanor.release.files import GRAPH, REFERENCE_ROWS, Release
from athanor.release.self_contained import require_self_contained

TOLERANCE: Final = 1e-6
"""Largest allowed difference between two probabilities that should be equal."""


class Graph:
    """An ONNX graph of a binary classifier with the inputs `numeric` and `categorical` of `FeatureArrays`."""

    def __init__(self, content: bytes) -> None:
        """Raises ReleaseError if the graph reads files; onnxruntime raises errors of its own."""
        require_self_contained(content)
        options = onnxruntime.SessionOptions()
        # Its own format keeps data in files too.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        # Replicas scale by processes, and would compete with the threads of a session.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Fatal ones alone. It raises every error, and would write it to standard error too, with values of the request.
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._inputs = frozenset(node.name for node in self._session.get_inputs())

    def predict_probability(self, features: FeatureArrays) -> NDArray[np.float64]:
        """Probability of the positive class for each row; float64 of length n."""
        arrays: dict[str, NDArray[Any]] = {"numeric": features.numeric, "categorical": features.categorical}
        outputs = self._session.run(["probabilities"], {name: arrays[name] for name in self._inputs})
        return _clip(np.asarray(outputs[0][:, 1], dtype=np.float64), 0.0, 1.0)


def _clip(probabilities: NDArray[np.float64], lowest: float, highest: float) -> NDArray[np.float64]:
    """Moves what rounding moved out of a range back: a forest's float32 sum may exceed 1 by 1e-7. Leaves the rest."""
    clipped = np.clip(probabilities, lowest, highest)
    is_rounding = np.abs(clipped - probabilities) <= TOLERANCE
    return clipped if is_rounding.all() else np.where(is_rounding, clipped, probabilities)


def find_invalid(prediction: Column, probabilities: NDArray[np.float64]) -> tuple[Breach, ...]:
    """The answers that are missing, infinite, outside of 0 to 1, or outside of the contract's own range.

    Args:
        prediction: the contract's column.
    """
    lowest, highest = _range_of(prediction)
    # Comparisons with NaN are false.
    if not len(probabilities) or (probabilities.min() >= lowest and probabilities.max() <= highest):
        return ()
    required = replace(prediction, kind=Kind.NUMBER, minimum=lowest, maximum=highest, may_be_missing=False)
    return validate([required], {prediction.name: probabilities})


def _range_of(prediction: Column) -> tuple[float, float]:
    return max(prediction.minimum, 0.0), min(prediction.maximum, 1.0)


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
        """Probabilities for `n` rows of valid contract columns; float64 of length n. `find_invalid` checks them."""
        return self.answer(self.model.features(columns))

    def answer(self, features: FeatureArrays) -> NDArray[np.float64]:
        """Probabilities, as `predict`, from the features of `n` rows."""
        probabilities = self._graph.predict_probability(features)
        lowest, highest = _range_of(self.model.contract.prediction)
        # The graph has settled the usual range. Its float32 numbers may exceed a narrower one by rounding too.
        is_usual = (lowest, highest) == (0.0, 1.0)
        return probabilities if is_usual else _clip(probabilities, lowest, highest)

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

    @cached_property
    def example(self) -> Columns:
        """One row that the release was proved to answer."""
        return self._read_rows(self.release.json(REFERENCE_ROWS)["rows"][:1])

    def _measure_difference(self) -> NDArray[np.float64]:
        """Distance of the answer to each reference row from the recorded one."""
        reference = self.release.json(REFERENCE_ROWS)
        answers = self.predict(self._read_rows(reference["rows"]))
        return np.asarray(np.abs(answers - np.array(reference["predictions"])))

    def _read_rows(self, rows: Sequence[dict[str, Any]]) -> Columns:
        row_class = GetMessageClass(self.model.contract.row)
        messages = [json_format.ParseDict(row, row_class()) for row in rows]
        return to_columns(self.model.contract.columns, messages)
