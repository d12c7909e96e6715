"""Requests in the JSON of the Open Inference Protocol, without HTTP."""

import json
from typing import Any, Final

import pytest
from support.flights import make_columns
from support.reading import finish
from support.tensors import to_json

from athanor.errors import InvalidRequestError
from athanor.serving.answering.core import Core
from athanor.serving.formats.inference_json import JSON_LENGTH, InferenceRequest, read, to_body

TENSORS: Final = to_json(make_columns(2))["inputs"]


def parse(core: Core, body: bytes, json_length: str | None = None) -> InferenceRequest:
    return finish(read(core.interface, body, json_length, "", ""))


def infer(core: Core, body: bytes, json_length: str | None = None) -> tuple[dict[str, Any], bytes]:
    """The JSON of an answer, and the bytes after it."""
    request = parse(core, body, json_length)
    content, headers = finish(to_body(core.interface, core.answer(request.question), request, "my request"))
    length = int(headers.get(JSON_LENGTH, len(content)))
    return json.loads(content[:length]), content[length:]


def refuse(core: Core, body: bytes, json_length: str | None = None) -> InvalidRequestError:
    """Sends a bad request, and checks that the core still answers others."""
    with pytest.raises(InvalidRequestError) as caught:
        core.answer(parse(core, body, json_length).question)
    assert infer(core, json.dumps(to_json(make_columns(1))).encode())
    return caught.value


def replace_tensor(name: str, datatype: str, data: Any, **fields: Any) -> list[Any]:
    """The two valid rows, with another tensor for one column."""
    made = {"name": name, "datatype": datatype, "shape": [2], "data": data, **fields}
    return [made if tensor["name"] == name else tensor for tensor in TENSORS]
