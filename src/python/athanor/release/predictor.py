"""Runs a release: contract columns in, answer columns out. Loading a release runs none of its code."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.inputs import GraphInputs
from athanor.contract.messages import to_columns
from athanor.errors import ReleaseError
from athanor.release.answers import measure_difference, settle
from athanor.release.files import GRAPH, REFERENCE_ROWS, Release
from athanor.release.graph import FeatureArrays, Graph
from athanor.release.manifest import Intervals


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
        reference = release.json(REFERENCE_ROWS)
        self._tolerance: float = reference["tolerance"]
        try:
            self._graph = Graph(release.files[GRAPH], GraphInputs.of(contract.columns))
            difference = self._measure_difference(reference)
        except Exception as error:  # noqa: BLE001 - onnxruntime has a class for each kind of damage
            raise ReleaseError(f"{release.location}/{GRAPH} cannot be run: {error}") from None
        if not np.all(difference <= self._tolerance):
            raise ReleaseError(
                f"release {release.digest} answers reference row {difference.argmax()} with a difference of "
                f"{difference.max():.3g} from its answer in training; allowed is {self._tolerance:g}"
            )
        self.numeric, self.categorical = self._graph.numeric, self._graph.categorical

    def predict(self, columns: Columns) -> Columns:
        """The answers to `n` rows of valid contract columns, by name of the answer's column; see `Graph.answer`.

        `find_invalid` checks them: what rounding moved out of a column's range is back within it, the rest is not.
        """
        return settle(self.contract.answer, self._graph.answer(columns), self._tolerance)

    def predict_with_features(self, columns: Columns) -> tuple[Columns, FeatureArrays]:
        """The answers, as `predict`, and the features that they come from."""
        answers, features = self._graph.answer_with_features(columns)
        return settle(self.contract.answer, answers, self._tolerance), features

    @cached_property
    def example(self) -> Columns:
        """One row that the release was proved to answer."""
        return self._read_rows(self.release.json(REFERENCE_ROWS)["rows"][:1])

    def _measure_difference(self, reference: Mapping[str, Any]) -> NDArray[np.float64]:
        """Distance of the answer to each reference row from the recorded one."""
        columns = self.contract.answer
        recorded = {column.name: np.array(reference["answers"][column.name], column.dtype) for column in columns}
        doubt = self.release.manifest.identity.doubt
        edges = doubt.edges if isinstance(doubt, Intervals) else ()
        return measure_difference(columns, self.predict(self._read_rows(reference["rows"])), recorded, edges)

    def _read_rows(self, rows: Sequence[dict[str, Any]]) -> Columns:
        row_class = GetMessageClass(self.contract.row)
        messages = [json_format.ParseDict(row, row_class()) for row in rows]
        return to_columns(self.contract.columns, messages)
