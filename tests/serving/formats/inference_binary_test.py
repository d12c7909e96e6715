"""Binary tensors after the JSON of the Open Inference Protocol, as Triton's clients send them."""

import json
from typing import Any, Final

import numpy as np
import pytest
from support.flights import make_columns
from support.inference import TENSORS, infer, refuse, replace_tensor
from support.releases import expected_probability
from support.tensors import pack, to_json, to_values

from athanor.serving.answering.core import Core
from athanor.serving.formats.inference_json import JSON_LENGTH

_DISTANCE: Final = [tensor["name"] for tensor in TENSORS].index("distance")


def _with_binary(columns: Any, **parameters: Any) -> tuple[bytes, bytes]:
    """The JSON, and the bytes after it: every other column is binary, as tritonclient may send it."""
    inputs, binary = to_json(columns)["inputs"], b""
    for tensor, (datatype, values) in list(zip(inputs, to_values(columns).values(), strict=True))[::2]:
        del tensor["data"]
        packed = pack(datatype, values)
        tensor["parameters"] = {"binary_data_size": len(packed)}
        binary += packed
    return json.dumps({"inputs": inputs, "parameters": parameters}).encode(), binary


@pytest.mark.parametrize("count", [1, 7, 50])
def test_tensors_may_follow_the_json(core: Core, count: int) -> None:
    columns = make_columns(count)
    text, binary = _with_binary(columns)
    answer, _ = infer(core, text + binary, str(len(text)))
    assert answer["outputs"] == infer(core, json.dumps(to_json(columns)).encode())[0]["outputs"]


@pytest.mark.parametrize(
    ("of_all", "of_output", "is_binary"),
    [
        (None, None, False),
        (True, None, True),
        (None, True, True),
        (False, True, True),
        (True, False, False),
        ("yes", None, False),
        (None, 1, False),
    ],
)
def test_the_output_is_binary_on_request(core: Core, of_all: object, of_output: object, is_binary: bool) -> None:
    parameters = {} if of_all is None else {"binary_data_output": of_all}
    output = {"name": "late_probability", "parameters": {} if of_output is None else {"binary_data": of_output}}
    columns = make_columns(3)
    answer, binary = infer(
        core, json.dumps({**to_json(columns), "parameters": parameters, "outputs": [output]}).encode()
    )
    (told,) = answer["outputs"]
    assert ("data" in told, bool(binary)) == (not is_binary, is_binary)
    found = np.frombuffer(binary, "<f8").tolist() if is_binary else told["data"]
    expected = [expected_probability(distance) for distance in columns["distance"].tolist()]
    assert found == pytest.approx(expected, abs=1e-6)
    if is_binary:
        assert told["parameters"] == {"binary_data_size": len(binary)}


@pytest.mark.parametrize("size", [-1, 17, 10**30, 1.0, "16", True, [16], {}])
def test_a_wrong_binary_size_is_refused(core: Core, size: object) -> None:
    tensors = replace_tensor("distance", "FP64", None, parameters={"binary_data_size": size})
    del tensors[_DISTANCE]["data"]
    text = json.dumps({"inputs": tensors}).encode()
    (violation, *_) = refuse(core, text + bytes(16), str(len(text))).violations
    assert violation.field == "inputs.'distance'"
    assert "has a binary_data_size of " in violation.description
    assert "16 bytes are left" in violation.description


def test_bytes_beyond_the_tensors_are_refused(core: Core) -> None:
    text, binary = _with_binary(make_columns(3))
    (violation,) = refuse(core, text + binary + b"123", str(len(text))).violations
    assert violation.description == "leave 3 binary bytes that belong to no tensor"


def test_a_tensor_whose_bytes_are_cut_takes_none_of_the_next(core: Core) -> None:
    text, binary = _with_binary(make_columns(3))
    assert refuse(core, text + binary[:-1], str(len(text))).violations


@pytest.mark.parametrize("json_length", ["", "-1", "1.5", "x", "٣", "99999999", "0" * 12 + "9" * 5_000, "1e3", " 1"])
def test_a_wrong_json_length_is_refused(core: Core, json_length: str) -> None:
    error = refuse(core, json.dumps(to_json(make_columns(1))).encode(), json_length)
    assert f"{JSON_LENGTH} is " in str(error)
    assert len(str(error)) < 300
