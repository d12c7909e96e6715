"""Runs a graph of features, as a release does."""

from typing import Any

import onnxruntime
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.inputs import GraphInputs
from athanor.features.features import Model


class FeatureGraph:
    """The traced features of a model."""

    def __init__(self, model: Model) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model.graph, options, providers=["CPUExecutionProvider"])
        self._model = model

    def __call__(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """An array of shape (n,) for each feature."""
        outputs = [output.name for output in self._session.get_outputs()]
        tensors = self._session.run(outputs, GraphInputs.of(self._model.contract.columns).pack(columns))
        return {
            name: values
            for output, tensor in zip(outputs, tensors, strict=True)
            for name, values in zip(getattr(self._model.features, output), tensor.T, strict=True)
        }
