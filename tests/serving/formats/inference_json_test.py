"""The Open Inference Protocol over REST, without the HTTP."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flights import make_columns
from support.inference import TENSORS, infer, refuse, replace_tensor
from support.properties import PROPERTY
from support.releases import expected_probability
from support.tensors import make_tensor, to_json, to_request

from athanor.contract.columns import Kind
from athanor.errors import FieldViolation, InvalidRequestError
from athanor.release.files import Release
from athanor.serving.answering.core import Core
from athanor.serving.formats import inference_messages
from athanor.serving.formats.inference_json import parse, to_question
from projects.delays.model import MODEL

_REQUIRED: Final = [column.name for column in MODEL.contract.columns if not column.may_be_missing]
_DISTANCE: Final = [tensor["name"] for tensor in TENSORS].index("distance")


def _violations(core: Core, tensors: list[Any], **fields: Any) -> tuple[FieldViolation, ...]:
    return refuse(core, json.dumps({"inputs": tensors, **fields}).encode()).violations


def test_rows_are_answered_in_their_order(core: Core, release: Release) -> None:
    columns = make_columns(7)
    answer, binary = infer(core, json.dumps({**to_json(columns), "id": "mine"}).encode())
    (output,) = answer.pop("outputs")
    expected = [expected_probability(distance) for distance in columns["distance"].tolist()]
    assert output.pop("data") == pytest.approx(expected, abs=1e-6)
    assert output == {"name": "late_probability", "datatype": "FP64", "shape": [7]}
    assert answer == {
        "model_name": "delays",
        "model_version": "1.2.3",
        "id": "mine",
        "parameters": {"release_digest": release.digest, "variant": "champion", "request_id": "my request"},
    }
    assert binary == b""


def test_without_an_id_the_answer_has_the_request_id(core: Core) -> None:
    assert infer(core, json.dumps(to_json(make_columns(1))).encode())[0]["id"] == "my request"


@PROPERTY
@given(seed=st.integers(0, 10_000), count=st.integers(1, 40), upright=st.booleans())
def test_columns_equal_those_of_the_grpc_door(seed: int, count: int, upright: bool) -> None:
    core = Core.__new__(Core)
    core.model, core.max_rows = MODEL, 10_000
    columns = make_columns(count, seed)
    body = to_json(columns)
    if upright:
        for tensor in body["inputs"]:
            tensor["shape"], tensor["data"] = [count, 1], [[value] for value in tensor["data"]]
    by_json = to_question(core, parse(json.dumps(body).encode(), None), "", "").columns
    by_messages = inference_messages.to_question(core, to_request(columns), "").columns
    assert by_json is not None
    assert by_messages is not None
    for column in MODEL.contract.columns:
        np.testing.assert_array_equal(by_json[column.name], by_messages[column.name], err_msg=column.name)
        assert by_json[column.name].dtype == column.kind.dtype


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not valid JSON"),
        (b"{", "the body is not valid JSON"),
        (b"\xff", "the body is not valid JSON"),
        (b"[" * 100_000, "the body is not valid JSON"),
        (b'{"inputs":' * 100_000, "the body is not valid JSON"),
        (b'{"inputs": [], "id": NaN}', "id is nan; the protocol has text there"),
        (b'{"inputs": NaN}', "inputs is nan; the protocol has a list there"),
        (b'{"inputs": ' + b"1" * 5_000 + b"}", "the body is not valid JSON"),
        (b"null", "the body is None; the protocol has an object there"),
        (b"[]", r"the body is \[\]; the protocol has an object there"),
        (b'{"inputs": {}}', r"inputs is {}; the protocol has a list there"),
        (b'{"inputs": null}', "inputs is None; the protocol has a list there"),
        (b'{"inputs": [1]}', r"inputs\[0\] is 1; the protocol has an object there"),
        (b'{"inputs": [{}]}', r"inputs\[0\]\.name is None; the protocol has text there"),
        (b'{"inputs": [{"name": 1}]}', r"inputs\[0\]\.name is 1; the protocol has text there"),
        (b'{"inputs": [{"name": "a"}]}', r"inputs\[0\]\.datatype is None; the protocol has text there"),
        (b'{"inputs": [{"name": "a", "datatype": "FP64"}]}', r"inputs\[0\]\.shape is None"),
        (b'{"inputs": [{"name": "a", "datatype": "FP64", "shape": 1}]}', r"inputs\[0\]\.shape is 1"),
        (b'{"inputs": [{"name": "a", "parameters": []}]}', r"inputs\[0\]\.parameters is \[\]"),
        (b'{"outputs": [{}]}', r"outputs\[0\]\.name is None"),
        (b'{"outputs": 1}', "outputs is 1"),
        (b'{"id": 1}', "id is 1; the protocol has text there"),
        (b'{"parameters": 1}', "parameters is 1"),
    ],
)
def test_a_malformed_body_is_refused_with_the_reason(core: Core, body: bytes, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        parse(body, None)
    refuse(core, body)


@pytest.mark.parametrize(
    ("datatype", "data", "message"),
    [
        ("FP64", None, "has data None; give a list"),
        ("FP64", "12", "has data '12'; give a list"),
        ("FP64", [1, "2"], "has '2' as value 1; expected float"),
        ("FP64", [1, True], "has True as value 1; expected float"),
        ("FP64", [[1, 2]], "has [1, 2] as value 0"),
        ("FP64", [[[1]], 2], "has [1] as value 0"),
        ("FP64", [[], 2], "has [] as value 0"),
        ("FP64", [1, {}], "has {} as value 1"),
        ("FP64", [1], "has 1 values; its shape wants 2"),
        ("FP64", [1, 2, 3], "has 3 values; its shape wants 2"),
        ("INT64", [1, None], "has None as value 1; expected int"),
        ("INT64", [1, 1.5], "has 1.5 as value 1; expected int"),
        ("INT64", [1, 2**63], "has 9223372036854775808 as value 1; expected INT64"),
        ("INT8", [1, -129], "has -129 as value 1; expected INT8"),
        ("UINT8", [1, 256], "has 256 as value 1; expected UINT8"),
        ("UINT64", [1, -1], "has -1 as value 1; expected UINT64"),
        ("UINT32", [1, 10**4_000], "; expected UINT32"),
        ("BOOL", [True, 1], "has 1 as value 1; expected bool"),
        ("BOOL", [True, None], "has None as value 1; expected bool"),
        ("FP8", [1, 2], "has the unknown datatype 'FP8'"),
        ("BYTES", ["a", "b"], "has datatype 'BYTES'; give one of INT8"),
    ],
)
def test_data_of_another_datatype_is_refused_by_value(core: Core, datatype: str, data: Any, message: str) -> None:
    (violation,) = _violations(core, replace_tensor("distance", datatype, data))
    assert violation.field == "inputs.'distance'"
    assert message in violation.description
    assert len(violation.description) < 300


@pytest.mark.parametrize(
    ("name", "datatype", "data", "rule"),
    [
        ("distance", "FP64", [1, None], "REQUIRED"),
        ("distance", "FP64", [1, 10**400], "FINITE"),
        ("distance", "INT64", [1, -1], "MINIMUM"),
        ("origin", "BYTES", ["EWR", None], "REQUIRED"),
        ("origin", "BYTES", ["EWR", "lga"], "CATEGORY"),
        ("origin", "BYTES", ["EWR", "\ud800"], "ENCODING"),
        ("scheduled_departure", "BYTES", ["2013-01-01T10:15:00Z", None], "REQUIRED"),
        ("scheduled_departure", "BYTES", ["2013-01-01T10:15:00Z", "2013-01-01T10:15:00"], "ENCODING"),
    ],
)
def test_a_violation_names_column_and_row(core: Core, name: str, datatype: str, data: list[Any], rule: str) -> None:
    assert [(v.field, v.rule) for v in _violations(core, replace_tensor(name, datatype, data))] == [
        (f"inputs.{name}[1]", rule)
    ]


@pytest.mark.parametrize("number", ["1e400", "Infinity", "-Infinity", "-1e400"])
def test_an_overflowing_number_is_infinite(core: Core, number: str) -> None:
    text = json.dumps({"inputs": replace_tensor("distance", "FP64", [1, 2])}).replace("[1, 2]", f"[1, {number}]")
    assert [v.rule for v in refuse(core, text.encode()).violations] == ["FINITE"]


def test_nan_is_a_missing_value_as_some_clients_write_it(core: Core) -> None:
    """NaN is not JSON, but Python and tritonclient write it."""
    body = {"inputs": replace_tensor("temperature", "FP64", [39, float("nan")])}
    assert infer(core, json.dumps(body).encode())[0]["outputs"]
    body = {"inputs": replace_tensor("distance", "FP64", [39, float("nan")])}
    assert [v.rule for v in refuse(core, json.dumps(body).encode()).violations] == ["REQUIRED"]


@pytest.mark.parametrize("datatype", ["INT64", "BOOL", "BYTES"])
def test_nan_is_refused_for_other_datatypes(core: Core, datatype: str) -> None:
    (violation,) = _violations(core, replace_tensor("temperature", datatype, [float("nan"), float("nan")]))
    assert "has nan as value 0; expected " in violation.description


def test_null_is_a_missing_value(core: Core) -> None:
    columns = make_columns(2)
    inputs = [tensor for tensor in to_json(columns)["inputs"] if tensor["name"] in _REQUIRED]
    named = [column.name for column in MODEL.contract.columns if column.may_be_missing and column.kind is not Kind.TEXT]
    missing = [make_tensor(name, "FP64", [None, None]) for name in named]
    found, _ = infer(core, json.dumps({"inputs": [*inputs, *missing]}).encode())
    assert found["outputs"] == infer(core, json.dumps({"inputs": inputs}).encode())[0]["outputs"]


def test_every_violation_is_named_at_once(core: Core) -> None:
    tensors = replace_tensor("distance", "FP64", ["x", 1])
    tensors[0] = {**tensors[0], "shape": [-1]}
    tensors.append(make_tensor("temperature", "FP8", [1, 2]))
    assert [v.field for v in _violations(core, tensors)] == [
        "inputs.'scheduled_departure'",
        "inputs.'distance'",
        "inputs.'temperature'",
    ]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda tensors: tensors.append(make_tensor("score", "FP64", [1, 2])), "UNKNOWN"),
        (lambda tensors: tensors.append(tensors[0]), "DUPLICATE"),
        (lambda tensors: tensors[1].update(shape=[1, 2]), "SHAPE"),
        (lambda tensors: tensors.clear(), "REQUIRED"),
        (lambda tensors: tensors[0].update(shape=[10**4_000]), "TOO_MANY"),
    ],
)
def test_tensors_that_are_not_columns_are_refused(core: Core, change: Callable[[list[Any]], Any], rule: str) -> None:
    tensors = json.loads(json.dumps(TENSORS))
    change(tensors)
    assert [violation.rule for violation in _violations(core, tensors)] == [rule]


def test_an_output_that_the_model_does_not_have_is_refused(core: Core) -> None:
    (violation,) = _violations(core, TENSORS, outputs=[{"name": "late_probability"}, {"name": "score"}])
    assert violation == FieldViolation("outputs.'score'", "UNKNOWN", "is not an output; the model has late_probability")


_ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "shape", "data", "x"]), inner),
    max_leaves=8,
)


@PROPERTY
@given(
    tensor=st.fixed_dictionaries(
        {
            "name": st.just("distance") | _ANYTHING,
            "datatype": st.sampled_from(["FP64", "INT8", "BOOL", "BYTES"]) | _ANYTHING,
        },
        optional={"shape": st.just([2]) | _ANYTHING, "data": _ANYTHING, "parameters": _ANYTHING},
    )
)
def test_any_tensor_is_read_or_refused(tensor: Any) -> None:
    core = Core.__new__(Core)
    core.model, core.max_rows = MODEL, 50
    body = json.dumps({"inputs": [*TENSORS[:_DISTANCE], tensor]}).encode()
    with suppress(InvalidRequestError):
        assert to_question(core, parse(body, None), "", "").count == 2
