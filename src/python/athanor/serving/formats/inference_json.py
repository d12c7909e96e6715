"""The Open Inference Protocol over REST: JSON, followed by binary tensors where a client sends or wants them.

The binary extension is Triton's: a header gives the length of the JSON, and after it come the contents of the tensors
whose `parameters` have a `binary_data_size`. Any optional member may be null.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from athanor.contract.shown import shown
from athanor.errors import InvalidRequestError
from athanor.serving.answering.interface import Interface, Question
from athanor.serving.answering.prepared import Answer
from athanor.serving.formats import json_body, tensors
from athanor.serving.formats.answers import to_json, to_values
from athanor.serving.formats.inference import RequestReader, list_outputs
from athanor.serving.formats.json_body import Limits, Turns
from athanor.serving.formats.tensors import BYTES, DTYPES, MalformedTensorError, Tensor, datatype_of, to_raw
from athanor.serving.formats.values import show

JSON_LENGTH: Final = "inference-header-content-length"
_LENGTH_PATTERN: Final = re.compile("[0-9]{1,12}")
# A body may have this many lists, objects and values outside its tensors.
_SLACK: Final = 2_000
_OUTPUT_MEMBERS: Final = (("name", str),)
_INPUT_MEMBERS: Final = (*_OUTPUT_MEMBERS, ("datatype", str), ("shape", list))
_NAMES: Final[dict[type, str]] = {dict: "an object", list: "a list", str: "text"}


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """What a request asks beside its rows.

    Attributes:
        id: the client's; "" for none.
        outputs: names of the outputs to return; empty for all.
        binary: whether the client wants an output as bytes, by name; under "" that of all others.
    """

    question: Question
    id: str
    outputs: Set[str]
    binary: Mapping[str, bool]

    def wants_binary(self, output: str) -> bool:
        return self.binary.get(output, self.binary.get("", False))


def read(
    interface: Interface, body: bytes, json_length: str | None, version: str, sticky_key: str
) -> Turns[InferenceRequest]:
    """Reads a body.

    Args:
        json_length: value of the header `JSON_LENGTH`; None if the whole body is JSON.

    Raises:
        InvalidRequestError: it is no JSON object, or a part of it has the wrong type; or as `RequestReader`.
    """
    length = _read_length(body, json_length)
    cells = interface.max_rows * len(interface.contract.columns) + _SLACK
    # Each value may be in a list of its own: [n, 1].
    limits = Limits(cells, 2 * cells, "inputs", interface.max_rows)
    text = yield from json_body.read_text(body[:length] if length < len(body) else body, limits)
    reader = _BodyReader(interface, body, length)
    for name, position, value in json_body.read_members(text):
        yield from reader.add(name, position, value)
    return reader.to_request(version, sticky_key)


def _read_length(body: bytes, json_length: str | None) -> int:
    if json_length is None:
        return len(body)
    if not _LENGTH_PATTERN.fullmatch(json_length) or int(json_length) > len(body):
        raise InvalidRequestError(f"{JSON_LENGTH} is {shown(json_length)}; the body has {len(body)} bytes")
    return int(json_length)


class _BodyReader:
    """Reads the members of a body, and the bytes that follow its JSON."""

    def __init__(self, interface: Interface, body: bytes, at: int) -> None:
        self._reader = RequestReader(interface)
        self._body = body
        self._at = at
        self._id = ""
        self._binary: dict[str, bool] = {}

    def add(self, name: str, position: int | None, value: Any) -> Turns[None]:
        """Adds a member or, with a position, an element of one. Unknown members are for other servers."""
        if name in ("inputs", "outputs"):
            if position is None:
                _check(name, value, list, may_be_null=True)
                return
            self._reader.check_number(name, position + 1)
            _check_tensor(name, position, value)
            if name == "outputs":
                self._add_output(value)
            else:
                yield from self._add_input(value)
                yield
        elif name in ("id", "parameters"):
            given = _check(name, value if position is None else [], str if name == "id" else dict, may_be_null=True)
            if name == "id":
                self._id = given or ""
            else:
                self._note_binary("", (given or {}).get("binary_data_output"))
                self._reader.check_parameters("parameters", given or ())

    def _add_output(self, output: Mapping[str, Any]) -> None:
        parameters = _parameters_of(output)
        self._note_binary(output["name"], parameters.get("binary_data"))
        self._reader.add_output(output["name"], parameters)

    def _note_binary(self, output: str, wanted: Any) -> None:
        if wanted is not None:
            self._binary[output] = wanted is True

    def _add_input(self, given: Mapping[str, Any]) -> Turns[None]:
        name, datatype, parameters = given["name"], given["datatype"], _parameters_of(given)
        if parameters:
            self._reader.check_parameters(f"inputs.{shown(name)}", parameters)
        try:
            size = parameters.get("binary_data_size")
            raw = None if size is None else self._take(size)
            checked = tensors.shape_of(given["shape"])
            count = self._reader.expect(checked)
            values = _read_data(given, datatype) if raw is None else tensors.read_raw(datatype, raw, count)
            yield from self._reader.add_input(Tensor(name, datatype, checked, values))
        except MalformedTensorError as error:
            self._reader.refuse_input(name, error)

    def _take(self, size: Any) -> bytes:
        """The next bytes after the JSON."""
        left = len(self._body) - self._at
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= left:
            raise MalformedTensorError(f"has a binary_data_size of {show(size)}; {left} bytes are left")
        self._at += size
        return self._body[self._at - size : self._at]

    def to_request(self, version: str, sticky_key: str) -> InferenceRequest:
        if left := len(self._body) - self._at:
            self._reader.refuse("inputs", "CONTENTS", f"leave {left} binary bytes that belong to no tensor")
        question = self._reader.to_question(version, sticky_key)
        return InferenceRequest(question, self._id, self._reader.outputs, self._binary)


def _check_tensor(side: str, position: int, given: Any) -> None:
    """Raises InvalidRequestError if a tensor, or a member of it, has the wrong type."""
    where = f"{side}[{position}]"
    _check(where, given, dict)
    kinds = _INPUT_MEMBERS if side == "inputs" else _OUTPUT_MEMBERS
    for name, kind in kinds:
        if not isinstance(given.get(name), kind):
            _check(f"{where}.{name}", given.get(name), kind)
    if given.get("parameters") is not None:
        _check(f"{where}.parameters", given["parameters"], dict)


def _check(path: str, value: Any, kind: type, may_be_null: bool = False) -> Any:
    if not isinstance(value, kind) and not (may_be_null and value is None):
        raise InvalidRequestError(f"{path} is {show(value)}; the protocol has {_NAMES[kind]} there")
    return value


def _parameters_of(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return given.get("parameters") or {}


def _read_data(given: Mapping[str, Any], datatype: str) -> list[Any]:
    """The values of a tensor in JSON, flat or nested by its shape."""
    data = given.get("data")
    if not isinstance(data, list):
        raise MalformedTensorError(f"has data {show(data)}; give a list")
    if datatype not in DTYPES and datatype != BYTES:
        raise MalformedTensorError(f"has the unknown datatype {shown(datatype)}")
    return [each[0] if isinstance(each, list) and len(each) == 1 else each for each in data]


def to_body(
    interface: Interface, answer: Answer, request: InferenceRequest, request_id: str
) -> Turns[tuple[bytes, dict[str, str]]]:
    """The body of an answer, and its headers. Raises ValueError for a number that JSON does not have."""
    variant, outputs, binary = answer.variant, list[str](), list[bytes]()
    for column in list_outputs(interface.contract, answer, request.outputs):
        output: dict[str, Any] = {"name": column.name, "datatype": datatype_of(column), "shape": [answer.count]}
        if request.wants_binary(column.name):
            binary.append(to_raw(column, answer.answers[column.name]))
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            output["data"] = to_values(column, answer)
        outputs.append(to_json(output))
        yield
    about = to_json(
        {
            "model_name": interface.contract.name,
            "model_version": variant.semantic_version,
            "id": request.id or request_id,
            "parameters": {"release_digest": variant.digest, "variant": variant.name, "request_id": request_id},
        }
    )
    text = f'{about[:-1]}, "outputs": [{", ".join(outputs)}]}}'.encode()
    return b"".join((text, *binary)), {JSON_LENGTH: str(len(text))} if binary else {}
