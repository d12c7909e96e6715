"""Requests about the rows of a hand-made model, for every door."""

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from support.questions import Question

from athanor.contract.messages import to_messages
from inference import open_inference_pb2 as oip


def _rows(question: Question) -> list[Any]:
    return to_messages(question.contract.columns, question.columns, GetMessageClass(question.contract.row))


def to_message(question: Question, **fields: str) -> Any:
    contract = question.contract
    return GetMessageClass(contract.predict.input_type)(**{contract.rows_field.name: _rows(question)}, **fields)


def to_json(question: Question, **fields: str) -> str:
    return json_format.MessageToJson(to_message(question, **fields))


def _tensors(question: Question) -> list[tuple[str, str, list[Any]]]:
    """Name, datatype and JSON values of the features: two numbers and, where there is one, a text."""
    features = {"flipper_length": "FP64", "island": "BYTES", "offered_at": "INT64", "stone": "INT64", "carat": "FP64"}
    columns = {name: values for name, values in question.columns.items() if name in features}
    return [
        (name, features[name], (values.view("i8") if name == "offered_at" else values).tolist())
        for name, values in columns.items()
    ]


def to_json_tensors(question: Question, **more: Any) -> str:
    inputs = [{"name": n, "datatype": t, "shape": [len(v)], "data": v} for n, t, v in _tensors(question)]
    return json.dumps({"inputs": inputs, **more})


def to_tensors(
    question: Question, raw: bool = True, outputs: Sequence[str] = (), model_version: str = ""
) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name=question.contract.name, model_version=model_version)
    for name in outputs:
        request.outputs.add(name=name)
    for name, datatype, values in _tensors(question):
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        if raw and datatype == "BYTES":
            packed = (struct.pack("<I", len(v.encode())) + v.encode() for v in values)
            request.raw_input_contents.append(b"".join(packed))
        elif raw:
            request.raw_input_contents.append(np.array(values, "<f8" if datatype == "FP64" else "<i8").tobytes())
        elif datatype == "BYTES":
            tensor.contents.bytes_contents.extend(v.encode() for v in values)
        elif datatype == "FP64":
            tensor.contents.fp64_contents.extend(values)
        else:
            tensor.contents.int64_contents.extend(map(int, values))
    return request
