"""Runs a release: contract columns in, probabilities out. Loading a release runs none of its code."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.inputs import GraphInputs
from athanor.contract.messages import to_columns
from athanor.contract.validation import Breach, validate
from athanor.errors import ReleaseError
from athanor.release.files import GRAPH, REFERENCE_ROWS, Release
from athanor.release.graph import TOLERANCE, FeatureArrays, Graph, are_within, clip


def find_invalid(prediction: Column, probabilities: NDArray[np.float64]) -> tuple[Breach, ...]:
    """The answers that are missing, infinite, outside of 0 to 1, or outside of the contract's own range.

    Args:
        prediction: the contract's column.
    """
    lowest, highest = _range_of(prediction)
    if are_within(probabilities, lowest, highest):
        return ()
    required = replace(prediction, kind=Kind.NUMBER, minimum=lowest, maximum=highest, may_be_missing=False)
    return validate([required], {prediction.name: probabilities})


def _range_of(prediction: Column) -> tuple[float, float]:
    return max(prediction.minimum, 0.0), min(prediction.maximum, 1.0)


class Predictor:
    """A release that was proved to answer as it did in training.

    Attributes:
        numeric, categorical: names of the features that it computes.
    """

    def __init__(self, release: Release) -> None:
        """Loads the graph and verifies its answers to the release's reference rows.

        Raises:
            ReleaseError: its contract cannot be read, its graph cannot be loaded, or its answers to the reference rows
                differ from those recorded in training.
        """
        self.release = release
        self.contract = contract = release.contract
        self._range = _range_of(contract.prediction)
        try:
            self._graph = Graph(release.files[GRAPH], GraphInputs.of(contract.columns))
            difference = self._measure_difference()
        except Exception as error:  # noqa: BLE001 - onnxruntime has a class for each kind of damage
            raise ReleaseError(f"{release.location}/{GRAPH} cannot be run: {error}") from None
        if not np.all(difference <= TOLERANCE):
            raise ReleaseError(
                f"release {release.digest} answers reference row {difference.argmax()} with a difference of "
                f"{difference.max():.3g} from its answer in training; allowed is {TOLERANCE:g}"
            )
        self.numeric, self.categorical = self._graph.numeric, self._graph.categorical

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        """Probabilities for `n` rows of valid contract columns; float64 of length n. `find_invalid` checks them."""
        return self._clip(self._graph.predict_probability(columns))

    def predict_with_features(self, columns: Columns) -> tuple[NDArray[np.float64], FeatureArrays]:
        """Probabilities, as `predict`, and the features that they come from."""
        probabilities, features = self._graph.predict_with_features(columns)
        return self._clip(probabilities), features

    def _clip(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        # The graph has settled the usual range. Its float32 numbers may exceed a narrower one by rounding too.
        return probabilities if self._range == (0.0, 1.0) else clip(probabilities, *self._range)

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
        row_class = GetMessageClass(self.contract.row)
        messages = [json_format.ParseDict(row, row_class()) for row in rows]
        return to_columns(self.contract.columns, messages)
