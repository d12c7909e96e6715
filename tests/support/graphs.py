"""Features of a small contract, and their graph as a release runs it."""

from collections.abc import Sequence
from typing import Any, Final

import onnxruntime
from numpy.typing import NDArray
from support.protos import TIMESTAMP, Toy, make_field

from athanor.contract.columns import Column, Columns
from athanor.contract.inputs import GraphInputs
from athanor.contract.v1 import options_pb2
from athanor.features.features import Features

_KINDS: Final = {
    "x": "double",
    "y": "double",
    "flag": "bool",
    "t": TIMESTAMP,
    "u": TIMESTAMP,
    "s": "string",
    "r": "string",
}


def make_columns(**kinds: str) -> Sequence[Column]:
    """Columns of a contract that are features and may be missing: x, y and flag, t and u, s and r; or others."""
    toy = Toy()
    toy.column("amount").ClearField("roles")
    for number, (name, kind) in enumerate((kinds or _KINDS).items(), start=20):
        options = {"description": "A value", "may_be_missing": True, "roles": [options_pb2.ROLE_FEATURE]}
        toy.row.field.append(make_field(name, number, kind, **options))
    return toy.read().columns


class FeatureGraph:
    """The traced features of a contract's columns."""

    def __init__(self, features: Features, columns: Sequence[Column]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        graph = features.trace(columns)
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._features = features
        self._inputs = GraphInputs.of(columns)

    def __call__(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """An array of shape (n,) for each feature."""
        outputs = [output.name for output in self._session.get_outputs()]
        return {
            name: values
            for output, tensor in zip(outputs, self._session.run(outputs, self._inputs.pack(columns)), strict=True)
            for name, values in zip(getattr(self._features, output), tensor.T, strict=True)
        }
