"""The Open Inference Protocol over gRPC, without the gRPC."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import probabilities_of
from support.flights import make_columns
from support.properties import PROPERTY
from support.reading import finish
from support.releases import expected_probability
from support.serving import FIRST, SECOND, THIRD, Stage, ask, reading_core
from support.tensors import to_request

from athanor.contract.columns import Kind
from athanor.contract.messages import to_messages
from athanor.errors import FieldViolation, InvalidRequestError, ModelNotFoundError
from athanor.release.files import Release
from athanor.serving.answering.core import Core, read_columns
from athanor.serving.answering.interface import Question
from athanor.serving.formats.inference import describe
from athanor.serving.formats.inference_messages import (
    read,
    read_model_name,
    to_model_metadata,
    to_response,
    to_server_metadata,
)
from athanor.version import VERSION
from delays.v1 import delays_pb2
from inference.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from projects.delays.model import MODEL

_COLUMNS: Final = MODEL.contract.columns
_NAMES: Final = [column.name for column in _COLUMNS]


def _ask(core: Core, request: ModelInferRequest) -> Question:
    return finish(read(core.interface, request.SerializeToString(), "")).question


def _refuse(core: Core, request: ModelInferRequest) -> tuple[FieldViolation, ...]:
    with pytest.raises(InvalidRequestError) as caught:
        core.answer(_ask(core, request))
    return caught.value.violations


def _infer(core: Core, request: ModelInferRequest) -> ModelInferResponse:
    read_ = finish(read(core.interface, request.SerializeToString(), ""))
    return finish(to_response(core.interface, core.answer(read_.question), read_, "my request"))


@pytest.mark.parametrize("raw", [False, True])
def test_rows_are_answered_in_their_order(core: Core, release: Release, raw: bool) -> None:
    columns = make_columns(7)
    response = _infer(core, to_request(columns, raw, id="mine"))
    (output,) = response.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("late_probability", "FP64", [7])
    found = (
        np.frombuffer(response.raw_output_contents[0], "<f8").tolist() if raw else list(output.contents.fp64_contents)
    )
    assert found == pytest.approx([expected_probability(d) for d in columns["distance"].tolist()], abs=1e-6)
    assert (len(response.raw_output_contents), len(output.contents.fp64_contents)) == ((1, 0) if raw else (0, 7))
    assert (response.model_name, response.model_version, response.id) == ("delays", "1.2.3", "mine")
    assert {name: value.string_param for name, value in response.parameters.items()} == {
        "release_digest": release.digest,
        "variant": "champion",
        "request_id": "my request",
    }


def test_without_an_id_the_answer_has_the_request_id(core: Core) -> None:
    assert _infer(core, to_request(make_columns(1))).id == "my request"


@PROPERTY
@given(seed=st.integers(0, 10_000), count=st.integers(1, 40), raw=st.booleans())
def test_columns_keep_their_values_and_equal_those_of_messages(seed: int, count: int, raw: bool) -> None:
    core = reading_core()
    columns = make_columns(count, seed)
    by_tensors = _ask(core, to_request(columns, raw)).columns
    flights = to_messages(_COLUMNS, columns, delays_pb2.Flight)
    by_messages = read_columns([ask(core, *flights)], MODEL.contract)
    assert by_tensors is not None
    for column in _COLUMNS:
        np.testing.assert_array_equal(by_tensors[column.name], columns[column.name], err_msg=column.name)
        np.testing.assert_array_equal(by_tensors[column.name], by_messages[column.name], err_msg=column.name)
        assert by_tensors[column.name].dtype == by_messages[column.name].dtype


_SPECIAL: Final = st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0, 0.0, 1e300]) | st.floats()


@PROPERTY
@given(data=st.data(), raw=st.booleans())
def test_invalid_values_are_read_as_those_of_messages(data: st.DataObject, raw: bool) -> None:
    count = data.draw(st.integers(1, 9))
    columns = make_columns(count)
    for column in _COLUMNS:
        if column.kind is Kind.NUMBER:
            columns[column.name] = np.array(data.draw(st.lists(_SPECIAL, min_size=count, max_size=count)), dtype="f8")
        elif column.kind is Kind.TEXT:
            texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
            columns[column.name] = np.array(data.draw(st.lists(texts, min_size=count, max_size=count)), dtype=object)
    core = reading_core()
    by_tensors = _ask(core, to_request(columns, raw)).columns
    by_messages = read_columns([ask(core, *to_messages(_COLUMNS, columns, delays_pb2.Flight))], MODEL.contract)
    assert by_tensors is not None
    for name in _NAMES:
        np.testing.assert_array_equal(by_tensors[name], by_messages[name], err_msg=name)


def test_a_column_that_may_be_missing_needs_no_tensor(core: Core) -> None:
    names = [column.name for column in _COLUMNS if not column.may_be_missing]
    assert len(_infer(core, to_request(make_columns(3), names=names)).outputs[0].contents.fp64_contents) == 3


def test_a_required_column_without_a_tensor_is_a_violation_in_every_row(core: Core) -> None:
    found = _refuse(core, to_request(make_columns(2), names=[name for name in _NAMES if name != "origin"]))
    assert [(v.field, v.rule) for v in found] == [("inputs.origin[0]", "REQUIRED"), ("inputs.origin[1]", "REQUIRED")]


def _break(change: Callable[[ModelInferRequest], Any], raw: bool = False) -> ModelInferRequest:
    request = to_request(make_columns(2), raw)
    change(request)
    return request


@pytest.mark.parametrize(
    ("request_", "field", "message"),
    [
        (
            _break(lambda r: r.raw_input_contents.append(b"")),
            "raw_input_contents",
            "has 1 entries; give one for each of the 18",
        ),
        (_break(lambda r: r.raw_input_contents.pop(), raw=True), "raw_input_contents", "has 17 entries"),
        (
            _break(lambda r: r.inputs[6].contents.SetInParent(), raw=True),
            "inputs.'distance'",
            "has both contents and raw",
        ),
        (
            _break(lambda r: r.inputs[6].contents.fp64_contents.append(1)),
            "inputs.'distance'",
            "has 3 values; its shape",
        ),
        (_break(lambda r: r.inputs[6].contents.ClearField("fp64_contents")), "inputs.'distance'", "has 0 values"),
        (_break(lambda r: r.inputs[6].contents.int_contents.append(1)), "inputs.'distance'", "has contents of another"),
        (_break(lambda r: setattr(r.inputs[6], "datatype", "FP32")), "inputs.'distance'", "FP32 are in fp32_contents"),
        (
            _break(lambda r: setattr(r.inputs[6], "datatype", "FP16")),
            "inputs.'distance'",
            "'FP16', which has no contents",
        ),
        (_break(lambda r: setattr(r.inputs[6], "datatype", "")), "inputs.'distance'", "has the datatype ''"),
        (_break(lambda r: r.inputs[6].shape.append(2)), "inputs.'distance'", "has shape [2, 2]; give [2] or [2, 1]"),
        (_break(lambda r: r.inputs[6].shape.insert(0, -1)), "inputs.'distance'", "has a shape with -1 in it"),
        (_break(lambda r: r.inputs[6].shape.pop()), "inputs.'distance'", "has shape []"),
        (_break(lambda r: setattr(r.inputs[6], "name", "Distance")), "inputs.'Distance'", "is not a column"),
        (_break(lambda r: setattr(r.inputs[6], "name", "origin")), "inputs.'origin'", "appears twice"),
        (
            _break(lambda r: r.raw_input_contents.__setitem__(6, b"12345678"), raw=True),
            "inputs.'distance'",
            "has 1 values",
        ),
        (_break(lambda r: r.raw_input_contents.__setitem__(6, b"1"), raw=True), "inputs.'distance'", "has 1 bytes"),
        (
            _break(lambda r: r.raw_input_contents.__setitem__(1, b"\xff\0\0\0"), raw=True),
            "inputs.'carrier'",
            "ends within",
        ),
        (
            _break(lambda r: r.outputs.add(name="score")),
            "outputs.'score'",
            "is not an output; the model has late_probability",
        ),
    ],
)
def test_tensors_that_are_not_columns_are_refused_by_name(
    core: Core, request_: ModelInferRequest, field: str, message: str
) -> None:
    (violation,) = _refuse(core, request_)
    assert violation.field == field
    assert message in violation.description
    assert _infer(core, to_request(make_columns(1))).outputs


def test_all_unreadable_tensors_are_named_at_once(core: Core) -> None:
    request = to_request(make_columns(2), raw=True)
    request.raw_input_contents[6] = b"1"
    request.raw_input_contents[1] = b"\xff"
    request.inputs[9].datatype = "FP8"
    assert [v.field for v in _refuse(core, request)] == [
        "inputs.'carrier'",
        "inputs.'distance'",
        "inputs.'temperature'",
    ]


def test_a_violation_names_column_and_row(core: Core) -> None:
    columns = make_columns(3)
    columns["distance"][2], columns["origin"][1] = -1, "LHR"
    found = _refuse(core, to_request(columns))
    assert [(v.field, v.rule) for v in found] == [("inputs.origin[1]", "CATEGORY"), ("inputs.distance[2]", "MINIMUM")]


@pytest.mark.parametrize("raw", [False, True])
def test_no_rows_and_too_many_are_refused(core: Core, raw: bool) -> None:
    for count, rule in ((0, "REQUIRED"), (51, "TOO_MANY")):
        (violation,) = _refuse(core, to_request(make_columns(count), raw))
        assert (violation.field, violation.rule) == ("inputs", rule)
    (violation,) = _refuse(core, ModelInferRequest())
    assert violation.rule == "REQUIRED"


def test_a_long_tensor_is_refused_before_the_columns_it_leaves_out_are_made(core: Core) -> None:
    """Otherwise one byte for each row would become a hundred."""
    request = ModelInferRequest(raw_input_contents=[bytes(1_000_000)])
    request.inputs.add(name="distance", datatype="BOOL", shape=[1_000_000])
    assert [v.rule for v in _refuse(core, request)] == ["TOO_MANY"]
    request.inputs[0].shape[0] = 2**63 - 1
    assert [v.rule for v in _refuse(core, request)] == ["TOO_MANY"]


@pytest.mark.parametrize("name", ["", "delays", "delays.v2", "é" * 1_000])
def test_the_model_is_known_before_the_rest_is_read(name: str) -> None:
    request = ModelInferRequest(model_name="first", raw_input_contents=[b"\x0a\x03abc"] * 3)
    # The last of a field's values counts, wherever it stands.
    content = request.SerializeToString() + (ModelInferRequest(model_name=name).SerializeToString() or b"\x0a\x00")
    assert finish(read_model_name(content)) == name == ModelInferRequest.FromString(content).model_name


@pytest.mark.parametrize("content", [b"\x0a", b"\x0a\x01\xff", b"\x0b", b"\xff" * 20])
def test_malformed_bytes_have_no_model(content: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="the bytes are not a valid inference"):
        finish(read_model_name(content))


def test_another_version_is_not_found(core: Core) -> None:
    request = to_request(make_columns(1))
    request.MergeFrom(ModelInferRequest(model_version="9.9.9"))
    with pytest.raises(ModelNotFoundError):
        core.answer(_ask(core, request))


def test_typed_contents_and_messages_are_answered_alike(core: Core) -> None:
    columns = make_columns(9)
    flights = to_messages(_COLUMNS, columns, delays_pb2.Flight)
    expected = probabilities_of(core.answer(ask(core, *flights))).tolist()
    assert list(_infer(core, to_request(columns)).outputs[0].contents.fp64_contents) == expected


def test_metadata_names_columns_and_answering_versions(stage: Stage) -> None:
    stage.direct(SECOND, FIRST, 0.5, THIRD)
    core = stage.core()
    metadata = to_model_metadata(core.traffic, "")
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("delays", ["1.0.0", "2.0.0"], "onnx")
    assert [tensor.name for tensor in metadata.inputs] == _NAMES
    assert {tensor.name: tensor.datatype for tensor in metadata.inputs}["distance"] == "FP64"
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.outputs] == [("late_probability", "FP64", [-1])]
    assert describe(core.traffic, "2.0.0")["name"] == "delays"
    for version in ("3.0.0", "9.9.9"):
        with pytest.raises(ModelNotFoundError):
            to_model_metadata(core.traffic, version)
    assert to_server_metadata().version == VERSION


def test_a_time_before_all_years_is_refused_and_not_read_as_missing(core: Core) -> None:
    columns = make_columns(1)
    request = to_request(columns)
    request.inputs[0].contents.int64_contents[0] = -(2**63) + 1
    assert [(v.field, v.rule) for v in _refuse(core, request)] == [("inputs.scheduled_departure[0]", "TIMESTAMP")]
