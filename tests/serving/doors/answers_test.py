"""Every door answers all columns of a contract, whatever is asked: a category, or a number with its interval."""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from prometheus_client.parser import text_string_to_metric_families
from support.grpc_server import FEATURES, OIP, GrpcServer
from support.handlers import OpenHandler, open_handler_of
from support.question_requests import to_json, to_json_tensors, to_message, to_tensors
from support.questions import CATEGORIES, PRICES, QUESTIONS, SPECIES, Question, expect_species
from support.rest import RestClient

from athanor.contract.columns import Kind
from athanor.contract.contract import message_of
from athanor.inspection.v1 import inspection_pb2
from athanor.release.store import ReleaseStore
from inference import open_inference_pb2 as oip

_DATATYPES: Final = {Kind.NUMBER: "FP64", Kind.BOOLEAN: "BOOL", Kind.TEXT: "BYTES"}
_CONTENTS: Final = {"FP64": "fp64_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents"}
_each_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.contract.name)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenHandler]:
    store = ReleaseStore(tmp_path / "store")
    cores = [question.promote(store, tmp_path / "candidates") for question in QUESTIONS]
    with open_handler_of(cores, tmp_path / "service", prediction_log=tmp_path / "log") as opened:
        yield opened


@pytest.fixture
def client(opened: OpenHandler) -> RestClient:
    return RestClient(opened)


def _assert_right(found: Mapping[str, Sequence[Any]], question: Question, *only: str) -> None:
    """Compares columns, in the contract's order, with what a line of Python expects."""
    wanted = [column for column in question.contract.answer if not only or column.name in only]
    assert list(found) == [column.name for column in wanted]
    for column in wanted:
        expected = question.answers[column.name]
        if column.kind is Kind.NUMBER:
            assert found[column.name] == pytest.approx(expected, rel=1e-9, abs=1e-12)
        else:
            assert list(found[column.name]) == list(expected)
            assert all(type(value) is type(expected[0]) for value in found[column.name])


def _turn(question: Question, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    fields = message_of(question.contract.predictions_field).fields_by_name
    names = [(column.name, fields[column.name].json_name) for column in question.contract.answer]
    return {name: [row[json_name] for row in rows] for name, json_name in names}


def _unpack(datatype: str, raw: bytes) -> list[Any]:
    """With other code than that which packs."""
    if datatype != "BYTES":
        return list(np.frombuffer(raw, {"FP64": "<f8", "BOOL": "?"}[datatype]).tolist())
    texts = []
    while raw:
        (length,) = struct.unpack_from("<I", raw)
        texts.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    return texts


def _read_response(response: oip.ModelInferResponse) -> dict[str, list[Any]]:
    found = {}
    for position, output in enumerate(response.outputs):
        if response.raw_output_contents:
            values = _unpack(output.datatype, response.raw_output_contents[position])
        else:
            listed = getattr(output.contents, _CONTENTS[output.datatype])
            values = [v.decode() if isinstance(v, bytes) else v for v in listed]
        assert list(output.shape) == [len(values)]
        found[output.name] = values
    return found


@_each_question
def test_typed_messages_have_a_field_for_each_column(server: GrpcServer, question: Question) -> None:
    contract = question.contract
    path = f"/{contract.service.full_name}/{contract.predict.name}"
    response, _ = server.call(path, to_message(question), GetMessageClass(contract.predict.output_type))
    names = [column.name for column in contract.answer]
    assert all(prediction.HasField(name) for prediction in response.predictions for name in names)
    _assert_right({name: [getattr(p, name) for p in response.predictions] for name in names}, question)


@_each_question
def test_typed_json_has_a_member_for_each_column(client: RestClient, question: Question) -> None:
    contract = question.contract
    response = client.post(f"/v1/models/{contract.name}:predict", content=to_json(question))
    assert response.status_code == 200, response.text
    _assert_right(_turn(question, response.json()["predictions"]), question)
    # As protobuf itself reads it.
    json_format.Parse(response.content, GetMessageClass(contract.predict.output_type)())


@_each_question
@pytest.mark.parametrize("raw", [False, True])
def test_each_column_is_a_tensor_over_grpc(server: GrpcServer, question: Question, raw: bool) -> None:
    response, _ = server.call(f"{OIP}ModelInfer", to_tensors(question, raw), oip.ModelInferResponse)
    assert bool(response.raw_output_contents) == raw
    assert [output.datatype for output in response.outputs] == [_DATATYPES[c.kind] for c in question.contract.answer]
    _assert_right(_read_response(response), question)


@_each_question
def test_each_column_is_a_tensor_over_rest(client: RestClient, question: Question) -> None:
    path = f"/v2/models/{question.contract.name}/infer"
    outputs = client.post(path, content=to_json_tensors(question)).json()["outputs"]
    assert [output["datatype"] for output in outputs] == [_DATATYPES[c.kind] for c in question.contract.answer]
    _assert_right({output["name"]: output["data"] for output in outputs}, question)


@_each_question
def test_tensors_come_as_bytes_and_as_json_as_each_is_wanted(client: RestClient, question: Question) -> None:
    names = [column.name for column in question.contract.answer]
    as_json = names[1]
    more = {
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": name, "parameters": {"binary_data": False} if name == as_json else {}} for name in names],
    }
    response = client.post(f"/v2/models/{question.contract.name}/infer", content=to_json_tensors(question, **more))
    length = int(response.headers["inference-header-content-length"])
    body, raw, found = json.loads(response.content[:length]), response.content[length:], {}
    for output in body["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        assert (size is None) == (output["name"] == as_json)
        if size is None:
            found[output["name"]] = output["data"]
        else:
            found[output["name"]], raw = _unpack(output["datatype"], raw[:size]), raw[size:]
    assert raw == b""
    _assert_right(found, question)


def test_only_the_outputs_that_are_asked_for_are_returned(server: GrpcServer, client: RestClient) -> None:
    wanted = ("gentoo_probability", "predicted_species")
    response, _ = server.call(f"{OIP}ModelInfer", to_tensors(SPECIES, True, wanted), oip.ModelInferResponse)
    _assert_right(_read_response(response), SPECIES, *wanted)
    body = to_json_tensors(SPECIES, outputs=[{"name": name} for name in wanted])
    outputs = client.post("/v2/models/species/infer", content=body).json()["outputs"]
    _assert_right({output["name"]: output["data"] for output in outputs}, SPECIES, *wanted)


def test_an_unknown_output_is_refused_with_those_that_there_are(client: RestClient) -> None:
    body = to_json_tensors(PRICES, outputs=[{"name": "lower"}, {"name": "price"}])
    response = client.post("/v2/models/prices/infer", content=body)
    (violation,) = response.json()["violations"]
    assert response.status_code == 400
    assert violation["description"].endswith("is not an output; the model has expected_price, lower, upper")


@_each_question
def test_metadata_lists_all_columns(server: GrpcServer, client: RestClient, question: Question) -> None:
    name = question.contract.name
    expected = [(column.name, _DATATYPES[column.kind], [-1]) for column in question.contract.answer]
    metadata, _ = server.call(f"{OIP}ModelMetadata", oip.ModelMetadataRequest(name=name), oip.ModelMetadataResponse)
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in metadata.outputs] == expected
    found = client.get(f"/v2/models/{name}").json()["outputs"]
    assert [(tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in found] == expected


@_each_question
def test_features_come_with_the_whole_prediction(server: GrpcServer, client: RestClient, question: Question) -> None:
    contract = question.contract
    request = inspection_pb2.ComputeFeaturesRequest(
        model_name=contract.name, request=to_message(question).SerializeToString()
    )
    message, _ = server.call(FEATURES, request, inspection_pb2.ComputeFeaturesResponse)
    read = GetMessageClass(message_of(contract.predictions_field)).FromString
    predictions = [read(row.prediction) for row in message.rows]
    _assert_right({c.name: [getattr(p, c.name) for p in predictions] for c in contract.answer}, question)
    rows = client.post(f"/v1/models/{contract.name}:features", content=to_json(question)).json()["rows"]
    _assert_right(_turn(question, [row["prediction"] for row in rows]), question)


@_each_question
def test_the_prediction_log_has_a_column_for_each(opened: OpenHandler, client: RestClient, question: Question) -> None:
    client.post(f"/v1/models/{question.contract.name}:predict", content=to_json(question))
    opened.close()
    rows = opened.predictions()
    _assert_right({c.name: [row[c.name] for row in rows] for c in question.contract.answer}, question)


def _samples(opened: OpenHandler, name: str) -> list[Any]:
    families = text_string_to_metric_families(opened.metrics())
    return [sample for family in families for sample in family.samples if sample.name == name]


def test_metrics_count_categories_and_spread_numbers(opened: OpenHandler, client: RestClient) -> None:
    client.post("/v1/models/species:predict", content=to_json(SPECIES))
    counted = {
        (s.labels["column"], s.labels["value"]): s.value
        for s in _samples(opened, "athanor_prediction_categories_total")
    }
    predicted = SPECIES.answers["predicted_species"]
    expected = {("predicted_species", name): predicted.count(name) for name in CATEGORIES}
    for name in CATEGORIES:
        possible = SPECIES.answers[f"may_be_{name}"]
        expected |= {
            (f"may_be_{name}", "true"): possible.count(True),
            (f"may_be_{name}", "false"): possible.count(False),
        }
    assert counted == expected
    summed = {s.labels["column"]: s.value for s in _samples(opened, "athanor_prediction_sum")}
    shares = [f"{name}_probability" for name in CATEGORIES]
    assert summed == pytest.approx({name: sum(SPECIES.answers[name]) for name in shares})


def test_buckets_follow_the_range_of_a_column(opened: OpenHandler, client: RestClient) -> None:
    client.post("/v1/models/prices:predict", content=to_json(PRICES))
    client.post("/v1/models/species:predict", content=to_json(SPECIES))
    buckets = _samples(opened, "athanor_prediction_bucket")
    prices = {s.labels["le"]: s.value for s in buckets if s.labels["column"] == "expected_price"}
    values = np.array(PRICES.answers["expected_price"])
    assert {le: np.count_nonzero(values <= float(le)) for le in prices} == prices
    assert {"0.0", "0.01", "1000.0", "2000.0", "1e+06", "+Inf"} <= prices.keys()
    shares = [float(s.labels["le"]) for s in buckets if s.labels["column"] == "gentoo_probability"]
    assert shares == pytest.approx([*(n / 20 for n in range(1, 21)), np.inf])


def test_rows_without_a_key_are_answered_alone_and_together(opened: OpenHandler) -> None:
    core = opened.handler.models.find("species").core
    contract = core.interface.contract
    assert core.interface.sticks_by_request_id
    row_class = GetMessageClass(contract.row)
    lengths = [[185.0], [201.0, 215.0], [176.0]]
    questions = [core.interface.ask_by_messages([row_class(flipper_length=n) for n in each]) for each in lengths]
    for answer, each in zip(core.answer_together(questions), lengths, strict=True):
        assert not isinstance(answer, Exception)
        expected = expect_species(each)
        assert answer.answers["predicted_species"].tolist() == expected["predicted_species"]
        assert answer.answers["gentoo_probability"] == pytest.approx(expected["gentoo_probability"])
