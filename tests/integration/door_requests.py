"""The same rows as each door wants them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, Final, TypeAlias

import numpy as np
from google.protobuf import json_format

from athanor.contract.columns import Column, Kind
from athanor.contract.messages import to_columns
from athanor.inspection.v1 import inspection_pb2
from athanor.serving.formats.tensors import join_bytes
from delays.v1 import delays_pb2
from inference import open_inference_pb2
from projects.delays.model import MODEL

Rows: TypeAlias = Sequence[delays_pb2.Flight]

_COLUMNS: Final = MODEL.contract.columns


def typed_message(rows: Rows) -> delays_pb2.PredictRequest:
    return delays_pb2.PredictRequest(flights=rows)


def typed_json(rows: Rows) -> str:
    return json_format.MessageToJson(typed_message(rows), indent=None)


def inspection_message(rows: Rows, model: str = MODEL.name) -> inspection_pb2.ComputeFeaturesRequest:
    return inspection_pb2.ComputeFeaturesRequest(model_name=model, request=typed_message(rows).SerializeToString())


@dataclass(frozen=True)
class _Input:
    """A column as a tensor: of INT64 where all are whole, as metadata has it; values are numbers, or text."""

    name: str
    datatype: str
    values: list[Any]

    @property
    def raw(self) -> bytes:
        if self.datatype == "BYTES":
            return join_bytes(value.encode() for value in self.values)
        return np.array(self.values, dtype={"FP64": "<f8", "INT64": "<i8"}[self.datatype]).tobytes()


def _inputs(rows: Sequence[Any], columns: Sequence[Column] = _COLUMNS) -> list[_Input]:
    values_of = to_columns(columns, rows)
    found = []
    for column in columns:
        values = values_of[column.name]
        if column.kind is Kind.TEXT:
            found.append(_Input(column.name, "BYTES", values.tolist()))
        elif column.kind is Kind.TIMESTAMP or (column.kind is Kind.INTEGER and not np.isnan(values).any()):
            found.append(_Input(column.name, "INT64", values.astype(np.int64).tolist()))
        else:
            found.append(_Input(column.name, "FP64", values.tolist()))
    return found


def inference_message(
    rows: Sequence[Any], columns: Sequence[Column] = _COLUMNS, model: str = MODEL.name
) -> open_inference_pb2.ModelInferRequest:
    """Args: columns: of the contract whose messages the rows are."""
    request = open_inference_pb2.ModelInferRequest(model_name=model)
    for given in _inputs(rows, columns):
        tensor = request.inputs.add(name=given.name, datatype=given.datatype, shape=[len(rows)])
        if given.datatype == "BYTES":
            tensor.contents.bytes_contents.extend(value.encode() for value in given.values)
        else:
            field = {"FP64": "fp64_contents", "INT64": "int64_contents"}[given.datatype]
            getattr(tensor.contents, field).extend(given.values)
    return request


def raw_inference_message(rows: Rows, model: str = MODEL.name) -> open_inference_pb2.ModelInferRequest:
    request = open_inference_pb2.ModelInferRequest(model_name=model)
    for given in _inputs(rows):
        request.inputs.add(name=given.name, datatype=given.datatype, shape=[len(rows), 1])
        request.raw_input_contents.append(given.raw)
    return request


def inference_json(rows: Rows) -> str:
    inputs = [
        {"name": given.name, "datatype": given.datatype, "shape": [len(rows)], "data": _to_json(given.values)}
        for given in _inputs(rows)
    ]
    # What JSON has for an infinite number: one that is too large.
    return json.dumps({"inputs": inputs}).replace("Infinity", "1e999")


def _to_json(values: list[Any]) -> list[Any]:
    return [None if isinstance(value, float) and isnan(value) else value for value in values]


def binary_inference_json(rows: Rows) -> tuple[bytes, int]:
    """The body, and how many bytes of it are JSON."""
    inputs, parts = [], []
    for given in _inputs(rows):
        parts.append(given.raw)
        size = {"binary_data_size": len(parts[-1])}
        inputs.append({"name": given.name, "datatype": given.datatype, "shape": [len(rows)], "parameters": size})
    text = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return text + b"".join(parts), len(text)
