"""The Open Inference Protocol over REST: JSON, followed by binary tensors where a client sends or wants them.

The binary extension is Triton's: a header gives the length of the JSON, and after it come the contents of the tensors
whose `parameters` have a `binary_data_size`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from athanor.contract.shown import shown
from athanor.errors import FieldViolation, InvalidRequestError
from athanor.serving.answering.core import Answer, Core, Question
from athanor.serving.formats import inference, tensors
from athanor.serving.formats.tensors import BYTES, DTYPES, MalformedTensorError, Tensor

JSON_LENGTH: Final = "inference-header-content-length"
_LENGTH_PATTERN: Final = re.compile("[0-9]{1,12}")


@dataclass(frozen=True)
class InferenceRequest:
    """A request.

    Attributes:
        body: its JSON.
        binary: the bytes after the JSON.
    """

    body: Mapping[str, Any]
    binary: bytes

    @property
    def wants_binary(self) -> bool:
        """Whether the client wants the output as bytes. The output's own parameter overrides the request's."""
        outputs = self.body.get("outputs") or [{}]
        default = _parameters(self.body).get("binary_data_output")
        return _parameters(outputs[0]).get("binary_data", default) is True


def parse(body: bytes, json_length: str | None) -> InferenceRequest:
    """Reads a body.

    Args:
        json_length: value of the header `JSON_LENGTH`; None if the whole body is JSON.

    Raises:
        InvalidRequestError: it is no JSON object, or a part of it has the wrong type.
    """
    length = len(body)
    if json_length is not None:
        if not _LENGTH_PATTERN.fullmatch(json_length) or int(json_length) > len(body):
            raise InvalidRequestError(f"{JSON_LENGTH} is {shown(json_length)}; the body has {len(body)} bytes")
        length = int(json_length)
    try:
        parsed = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the body is not valid JSON: {error}") from None
    for path, value, kind in _typed_parts(parsed):
        if not isinstance(value, kind):
            raise InvalidRequestError(f"{path} is {shown(value)}; the protocol has {_NAMES[kind]} there")
    return InferenceRequest(parsed, body[length:])


_NAMES: Final[dict[type, str]] = {dict: "an object", list: "a list", str: "text"}


def _typed_parts(body: Any) -> Iterator[tuple[str, Any, type]]:
    yield "the body", body, dict
    yield "id", body.get("id", ""), str
    yield "parameters", body.get("parameters", {}), dict
    for side in ("inputs", "outputs"):
        yield side, body.get(side, []), list
        for position, tensor in enumerate(body.get(side, [])):
            yield f"{side}[{position}]", tensor, dict
            yield f"{side}[{position}].name", tensor.get("name"), str
            yield f"{side}[{position}].parameters", tensor.get("parameters", {}), dict
            if side == "inputs":
                yield f"{side}[{position}].datatype", tensor.get("datatype"), str
                yield f"{side}[{position}].shape", tensor.get("shape"), list


def _parameters(given: Mapping[str, Any]) -> Mapping[str, Any]:
    found = given.get("parameters")
    return found if isinstance(found, dict) else {}


def to_question(core: Core, request: InferenceRequest, version: str, sticky_key: str) -> Question:
    """The question in a request. Raises InvalidRequestError as `inference.to_question`."""
    outputs = [output["name"] for output in request.body.get("outputs", [])]
    return inference.to_question(core, _read_tensors(request), outputs, version, sticky_key)


def _read_tensors(request: InferenceRequest) -> Iterator[Tensor | FieldViolation]:
    at = 0
    for given in request.body.get("inputs", []):
        size = _parameters(given).get("binary_data_size")
        try:
            if size is None:
                values = _read_data(given)
            else:
                if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(request.binary) - at:
                    raise MalformedTensorError(
                        f"has a binary_data_size of {shown(size)}; {len(request.binary) - at} bytes are left"
                    )
                values = tensors.read_raw(given["datatype"], request.binary[at : at + size])
                at += size
            yield Tensor(given["name"], given["datatype"], tensors.shape_of(given["shape"]), values)
        except MalformedTensorError as error:
            yield FieldViolation(f"inputs.{shown(given['name'])}", "CONTENTS", str(error))
    if at < len(request.binary):
        left = len(request.binary) - at
        yield FieldViolation("inputs", "CONTENTS", f"leave {left} binary bytes that belong to no tensor")


def _read_data(given: Mapping[str, Any]) -> Any:
    """The values of a tensor in JSON, flat or nested by its shape; null for a missing value."""
    data = given.get("data")
    if not isinstance(data, list):
        raise MalformedTensorError(f"has data {shown(data)}; give a list")
    values = [each[0] if isinstance(each, list) and len(each) == 1 else each for each in data]
    datatype = given["datatype"]
    if datatype == BYTES:
        return ["" if value is None else _check(value, str, row) for row, value in enumerate(values)]
    if datatype not in DTYPES:
        raise MalformedTensorError(f"has the unknown datatype {shown(datatype)}")
    if datatype == "BOOL":
        return np.array([_check(value, bool, row) for row, value in enumerate(values)], dtype=np.bool_)
    if datatype.startswith("FP"):
        return np.array([np.nan if value is None else _number(value, row) for row, value in enumerate(values)])
    return _whole(datatype, [_check(value, int, row) for row, value in enumerate(values)])


def _check(value: Any, kind: type, row: int) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise MalformedTensorError(f"has {shown(value)} as value {row}; expected {kind.__name__}")
    return value


def _number(value: Any, row: int) -> float:
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    return float(_check(value, float, row))


def _whole(datatype: str, values: list[int]) -> Any:
    limits = np.iinfo(DTYPES[datatype].str)
    for row, value in enumerate(values):
        if not limits.min <= value <= limits.max:
            raise MalformedTensorError(f"has {shown(value)} as value {row}; expected {datatype}")
    return np.array(values, dtype=DTYPES[datatype])


def to_body(core: Core, answer: Answer, request: InferenceRequest, request_id: str) -> tuple[bytes, dict[str, str]]:
    """The body of an answer, and its headers. Raises ValueError for a number that JSON does not have."""
    variant = answer.variant
    output: dict[str, Any] = {"name": core.contract.prediction.name, "datatype": "FP64", "shape": [answer.count]}
    binary = b""
    if request.wants_binary:
        binary = answer.probabilities.astype("<f8").tobytes()
        output["parameters"] = {"binary_data_size": len(binary)}
    else:
        output["data"] = answer.probabilities.tolist()
    text = json.dumps(
        {
            "model_name": core.contract.name,
            "model_version": variant.semantic_version,
            "id": request.body.get("id") or request_id,
            "parameters": {"release_digest": variant.digest, "variant": variant.name, "request_id": request_id},
            "outputs": [output],
        },
        allow_nan=False,
    ).encode()
    return text + binary, {JSON_LENGTH: str(len(text))} if binary else {}
