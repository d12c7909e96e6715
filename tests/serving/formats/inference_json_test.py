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
from support.inference import TENSORS, infer, parse, refuse, replace_tensor
from support.properties import PROPERTY
from support.reading import finish
from support.releases import expected_probability
from support.serving import reading_core
from support.tensors import make_tensor, to_json, to_request

from athanor.contract.columns import Kind
from athanor.errors import FieldViolation, InvalidRequestError
from athanor.release.files import Release
from athanor.serving.answering.core import Core
from athanor.serving.formats import inference_messages
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
    core = reading_core()
    columns = make_columns(count, seed)
    body = to_json(columns)
    if upright:
        for tensor in body["inputs"]:
            tensor["shape"], tensor["data"] = [count, 1], [[value] for value in tensor["data"]]
    by_json = parse(core, json.dumps(body).encode()).question.columns
    by_messages = finish(
        inference_messages.read(core.interface, to_request(columns).SerializeToString(), "")
    ).question.columns
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
        (b'{"id": "a",}', "Expecting a value after ','"),
        (b'{"id": "a" "b": 1}', "Expecting ',' or '}'"),
        (b'{"id": "a"} 1', "Extra data"),
        (b'{"id" 1}', "Expecting ':'"),
        (b"{1: 2}", "Expecting a name in double quotes"),
        (b'{"unknown": [1,]}', "Expecting a value after ','"),
        (b"\xff", "the body is not UTF-8: byte 0 is 0xff"),
        ('{"id": "é"}'.encode("utf-16"), "looks like UTF-16 or UTF-32; encode it as UTF-8"),
        ('{"id": "é"}'.encode("utf-16-be"), "looks like UTF-16 or UTF-32; encode it as UTF-8"),
        ('{"id": "é"}'.encode("utf-32"), "looks like UTF-16 or UTF-32; encode it as UTF-8"),
        (b"[" * 2_000, "it is nested too deeply"),
        (b'{"inputs":' * 2_000, "it is nested too deeply"),
        (b"[" * 100_000, "more than 2900 lists and objects"),
        (b'{"inputs": [], "id": NaN}', "id is nan; the protocol has text there"),
        (b'{"inputs": NaN}', "inputs is nan; the protocol has a list there"),
        (b'{"inputs": ' + b"1" * 5_000 + b"}", "inputs is inf; the protocol has a list there"),
        (b"null", "the body is null; give an object"),
        (b"[]", "the body is a list; give an object"),
        (b'{"id": "a", "id": "b"}', "the body has 'id' twice"),
        (b'{"inputs": [{"name": "a", "name": "b"}]}', "'name' is twice in one object"),
        (b'{"inputs": {}}', "inputs is an object; the protocol has a list there"),
        (b'{"inputs": [1]}', r"inputs\[0\] is 1; the protocol has an object there"),
        (b'{"inputs": [null]}', r"inputs\[0\] is null; the protocol has an object there"),
        (b'{"inputs": [{}]}', r"inputs\[0\]\.name is null; the protocol has text there"),
        (b'{"inputs": [{"name": 1}]}', r"inputs\[0\]\.name is 1; the protocol has text there"),
        (b'{"inputs": [{"name": "a"}]}', r"inputs\[0\]\.datatype is null; the protocol has text there"),
        (b'{"inputs": [{"name": "a", "datatype": "FP64"}]}', r"inputs\[0\]\.shape is null"),
        (b'{"inputs": [{"name": "a", "datatype": "FP64", "shape": 1}]}', r"inputs\[0\]\.shape is 1"),
        (
            b'{"inputs": [{"name": "a", "datatype": "FP64", "shape": [1], "parameters": []}]}',
            r"inputs\[0\]\.parameters is a list",
        ),
        (b'{"outputs": [{"name": "a", "parameters": 1}]}', r"outputs\[0\]\.parameters is 1"),
        (b'{"outputs": [{}]}', r"outputs\[0\]\.name is null"),
        (b'{"outputs": 1}', "outputs is 1"),
        (b'{"id": 1}', "id is 1; the protocol has text there"),
        (b'{"parameters": 1}', "parameters is 1"),
        (b'{"parameters": [1]}', "parameters is a list"),
        (b'{"parameters": []}', "parameters is a list"),
    ],
)
def test_a_malformed_body_is_refused_with_the_reason(core: Core, body: bytes, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        parse(core, body)
    refuse(core, body)


@pytest.mark.parametrize(
    ("datatype", "data", "message"),
    [
        ("FP64", None, "has data null; give a list"),
        ("FP64", "12", "has data '12'; give a list"),
        ("FP64", [1], "has 1 values; its shape wants 2"),
        ("FP64", [1, 2, 3], "has 3 values; its shape wants 2"),
        ("FP8", [1, 2], "has the unknown datatype 'FP8'"),
        ("BYTES", ["a", "b"], "has datatype 'BYTES'; give one of INT8"),
    ],
)
def test_a_tensor_that_is_no_column_is_refused(core: Core, datatype: str, data: Any, message: str) -> None:
    (violation,) = _violations(core, replace_tensor("distance", datatype, data))
    assert violation.field == "inputs.'distance'"
    assert message in violation.description


@pytest.mark.parametrize(
    ("datatype", "value", "message"),
    [
        ("FP64", "far", "'far' is not a number; give a number from 1 to 6000 [mi_i]"),
        ("FP64", " 2", "' 2' is not a number"),
        ("FP64", True, "true is not a number"),
        ("FP64", [1, 2], "a list is not a number"),
        ("FP64", [[1]], "a list is not a number"),
        ("FP64", [], "a list is not a number"),
        ("FP64", {}, "an object is not a number"),
        ("INT64", 1.5, "1.5 is not an INT64; give a whole number from -9223372036854775808 to 9223372036854775807"),
        ("INT64", True, "true is not a number"),
        ("INT64", 2**63, "9223372036854775808 is not an INT64"),
        ("INT8", -129, "-129 is not an INT8"),
        ("UINT8", 300, "300 is not an UINT8; give a whole number from 0 to 255"),
        ("UINT64", -1, "-1 is not an UINT64"),
        ("UINT32", 10**4_000, "inf is not an UINT32"),
        ("BOOL", "yes", "'yes' is not a number"),
    ],
)
def test_a_value_that_cannot_be_read_is_a_violation(core: Core, datatype: str, value: Any, message: str) -> None:
    (violation,) = _violations(core, replace_tensor("distance", datatype, [1, value]))
    assert (violation.field, violation.rule) == ("inputs.distance[1]", "TYPE")
    assert violation.description.startswith(message)
    assert len(violation.description) < 300


@pytest.mark.parametrize("column", ["distance", "flight_number"])
@pytest.mark.parametrize(
    ("datatype", "value"), [("INT64", 2004.0), ("INT64", "2004"), ("FP64", "2004"), ("UINT16", 2004.0)]
)
def test_a_whole_number_may_be_written_in_any_way(core: Core, column: str, datatype: str, value: Any) -> None:
    found = [
        infer(core, json.dumps({"inputs": replace_tensor(column, datatype, [given] * 2)}).encode())[0]["outputs"]
        for given in (value, 2004)
    ]
    assert found[0] == found[1]


def test_values_that_cannot_be_read_are_named_with_those_that_break_the_contract(core: Core) -> None:
    tensors = replace_tensor("distance", "FP64", ["far", -1])
    (at,) = (position for position, tensor in enumerate(tensors) if tensor["name"] == "scheduled_departure")
    tensors[at] = make_tensor("scheduled_departure", "BYTES", ["2013-01-01T10:15:00Z", "2013-01-01T10:15:00"])
    error = refuse(core, json.dumps({"inputs": tensors}).encode())
    assert str(error) == "3 values in 2 of 2 rows break the contract"
    assert [(v.field, v.rule) for v in error.violations] == [
        ("inputs.distance[0]", "TYPE"),
        ("inputs.scheduled_departure[1]", "ENCODING"),
        ("inputs.distance[1]", "MINIMUM"),
    ]


def test_optional_members_may_be_null(core: Core) -> None:
    tensors = [{**tensor, "parameters": None} for tensor in TENSORS]
    body: dict[str, Any] = {"inputs": tensors, "id": None, "parameters": None, "outputs": None}
    assert infer(core, json.dumps(body).encode())[0]["id"] == "my request"
    body["outputs"] = [{"name": "late_probability", "parameters": None}]
    assert infer(core, json.dumps(body).encode())[0]["outputs"]


def test_a_byte_order_mark_is_ignored(core: Core) -> None:
    body = json.dumps({"inputs": TENSORS}).encode()
    assert infer(core, b"\xef\xbb\xbf" + body)[0] == infer(core, body)[0]


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        (
            {"outputs": [{"name": "late_probability", "parameters": {"classification": 2}}]},
            "outputs.'late_",
            "leave class_count out",
        ),
        (
            {"inputs": replace_tensor("distance", "FP64", None, parameters={"shared_memory_region": "x"})},
            "inputs.",
            "memory",
        ),
        ({"parameters": {"sequence_id": 7}}, "parameters", "no state"),
    ],
)
def test_what_would_change_the_answer_is_refused_and_not_ignored(
    core: Core, fields: dict[str, Any], field: str, message: str
) -> None:
    (violation, *_) = refuse(core, json.dumps({"inputs": TENSORS, **fields}).encode()).violations
    assert violation.field.startswith(field)
    assert violation.rule == "UNSUPPORTED"
    assert message in violation.description


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


@pytest.mark.parametrize("datatype", ["INT64", "INT8", "BOOL", "FP32"])
def test_null_and_nan_are_missing_whatever_the_datatype(core: Core, datatype: str) -> None:
    body = {"inputs": replace_tensor("temperature", datatype, [float("nan"), None])}
    assert infer(core, json.dumps(body).encode())[0]["outputs"]


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
        "inputs.'temperature'",
        "inputs.distance[0]",
    ]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda tensors: tensors.append(make_tensor("score", "FP64", [1, 2])), "UNKNOWN"),
        (lambda tensors: tensors.append(tensors[0]), "DUPLICATE"),
        (lambda tensors: tensors[1].update(shape=[1, 2]), "SHAPE"),
        (lambda tensors: tensors.clear(), "REQUIRED"),
        (lambda tensors: tensors[0].update(shape=[10**15]), "TOO_MANY"),
        (lambda tensors: tensors[0].update(shape=[10**4_000]), "CONTENTS"),
        (lambda tensors: tensors[0].update(shape=[2] * 9), "CONTENTS"),
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
    core = reading_core(50)
    body = json.dumps({"inputs": [*TENSORS[:_DISTANCE], tensor]}).encode()
    with suppress(InvalidRequestError):
        assert parse(core, body).question.count == 2


def test_large_and_small_bodies_are_read_alike(core: Core) -> None:
    """Small ones are read at once, large ones member by member."""
    bodies: list[dict[str, Any]] = [{"inputs": TENSORS, "id": "mine"}, {"inputs": [], "outputs": []}, {"inputs": [1]}]
    for body in bodies:
        small = json.dumps(body).encode()
        large = b" " * 20_000 + small.replace(b",", b" ,\n\t")
        found = []
        for sent in (small, large):
            try:
                found.append(infer(core, sent)[0])
            except InvalidRequestError as error:
                found.append({"error": str(error)})
        assert found[0] == found[1]
