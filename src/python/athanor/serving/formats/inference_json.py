"""The Open Inference Protocol over REST: JSON, with binary tensors behind it where a client sends or wants them.

The binary extension is Triton's: the JSON comes first, as long as a header says, and then the contents of those tensors
whose `parameters` have a `binary_data_size`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from athanor.contract.validation import shown
from athanor.errors import FieldViolation, InvalidRequestError
from athanor.serving.answering.core import Answer, Core, Question
from athanor.serving.formats import tensors
from athanor.serving.formats.inference_messages import ask_by_tensors, check_outputs, read_tensors
from athanor.serving.formats.tensors import BYTES, DTYPES, MalformedTensorError, Tensor

JSON_LENGTH: Final = "inference-header-content-length"
_LENGTH_PATTERN: Final = re.compile("[0-9]{1,12}")


@dataclass(frozen=True)
class InferenceRequest:
    """A request as its JSON has it.

    Attributes:
        binary: what came behind the JSON.
    """

    body: Mapping[str, Any]
    binary: bytes

    @property
    def wants_binary(self) -> bool:
        """Whether the client asked for the output as bytes: what it says of the output comes before what of all."""
        outputs = self.body.get("outputs") or [{}]
        of_all = _parameters(self.body).get("binary_data_output")
        return _parameters(outputs[0]).get("binary_data", of_all) is True


def parse(body: bytes, json_length: str | None) -> InferenceRequest:
    """Reads a body.

    Args:
        json_length: bytes of JSON before the binary part; None where all is JSON.

    Raises:
        InvalidRequestError: it is no JSON object, or its parts are not of the types that they should be.
    """
    length = len(body)
    if json_length is not None:
        if not _LENGTH_PATTERN.fullmatch(json_length) or int(json_length) > len(body):
            raise InvalidRequestError(f"{JSON_LENGTH} is {shown(json_length)}; the body has {len(body)} bytes")
        length = int(json_length)
    try:
        parsed = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the body is no JSON: {error}") from None
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
    """What a request asks. Raises InvalidRequestError as that of the messages does."""
    check_outputs(core, [output["name"] for output in request.body.get("outputs", [])])
    return ask_by_tensors(core, read_tensors(_read_tensors(request)), version, sticky_key)


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
        yield FieldViolation("inputs", "CONTENTS", f"leave {left} binary bytes that are no tensor's")


def _read_data(given: Mapping[str, Any]) -> Any:
    """The values of a tensor in JSON, flat or nested as its shape says. null is a missing value."""
    data = given.get("data")
    if not isinstance(data, list):
        raise MalformedTensorError(f"has data {shown(data)}; give a list")
    values = [each[0] if isinstance(each, list) and len(each) == 1 else each for each in data]
    datatype = given["datatype"]
    if datatype == BYTES:
        return ["" if value is None else _check(value, str, row) for row, value in enumerate(values)]
    if datatype not in DTYPES:
        raise MalformedTensorError(f"has a datatype {shown(datatype)} that is not known")
    if datatype == "BOOL":
        return np.array([_check(value, bool, row) for row, value in enumerate(values)], dtype=np.bool_)
    if datatype.startswith("FP"):
        return np.array([np.nan if value is None else _number(value, row) for row, value in enumerate(values)])
    return _whole(datatype, [_check(value, int, row) for row, value in enumerate(values)])


def _check(value: Any, kind: type, row: int) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise MalformedTensorError(f"has {shown(value)} as value {row}, which is no {kind.__name__}")
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
            raise MalformedTensorError(f"has {shown(value)} as value {row}, which is no {datatype}")
    return np.array(values, dtype=DTYPES[datatype])


def to_body(core: Core, answer: Answer, request: InferenceRequest, request_id: str) -> tuple[bytes, dict[str, str]]:
    """The body of an answer, and the headers that belong to it."""
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
        }
    ).encode()
    return text + binary, {JSON_LENGTH: str(len(text))} if binary else {}
