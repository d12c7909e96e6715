"""Columns as a client of the Open Inference Protocol writes them, with other code than that which reads them."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from athanor.contract.columns import Columns, Kind
from inference import open_inference_pb2
from projects.delays.model import MODEL

_CONTENTS: Final = {"INT64": "int64_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}


def to_values(columns: Columns, names: Sequence[str] | None = None) -> dict[str, tuple[str, list[Any]]]:
    """For each column its datatype and its values: numbers, microseconds or bytes."""
    found: dict[str, tuple[str, list[Any]]] = {}
    for column in MODEL.contract.columns:
        if names is not None and column.name not in names:
            continue
        array = columns[column.name]
        if column.kind is Kind.TEXT:
            found[column.name] = "BYTES", [text.encode() for text in array.tolist()]
        elif column.kind is Kind.TIMESTAMP:
            found[column.name] = "INT64", array.astype("M8[us]").astype(np.int64).tolist()
        else:
            found[column.name] = "FP64", array.tolist()
    return found


def to_request(
    columns: Columns, raw: bool = False, names: Sequence[str] | None = None, **fields: Any
) -> open_inference_pb2.ModelInferRequest:
    """A request with a tensor for each column, or for those that are named."""
    request = open_inference_pb2.ModelInferRequest(model_name=MODEL.name, **fields)
    for name, (datatype, values) in to_values(columns, names).items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        if raw:
            request.raw_input_contents.append(pack(datatype, values))
        else:
            getattr(tensor.contents, _CONTENTS[datatype]).extend(values)
    return request


def pack(datatype: str, values: Sequence[Any]) -> bytes:
    """Raw contents: little-endian, and before each of BYTES its length."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in values)
    return struct.pack(f"<{len(values)}{'q' if datatype == 'INT64' else 'd'}", *values)


def to_json(columns: Columns, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The body of a request over REST. A missing number is null."""
    return {
        "inputs": [
            {"name": name, "datatype": datatype, "shape": [len(values)], "data": _to_data(values)}
            for name, (datatype, values) in to_values(columns, names).items()
        ]
    }


def _to_data(values: Sequence[Any]) -> list[Any]:
    texts = (value.decode() if isinstance(value, bytes) else value for value in values)
    return [None if value != value else value for value in texts]  # noqa: PLR0124 - that is what NaN is


def make_tensor(name: str, datatype: str, values: Sequence[Any], **fields: Any) -> Mapping[str, Any]:
    """One input in JSON, as long as its values."""
    return {"name": name, "datatype": datatype, "shape": [len(values)], "data": list(values), **fields}
