"""The OpenAPI document: valid, complete, and as the contract says."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.documents import CONTRACTS, FLIGHTS, MAX_ROWS, VERSIONS, document_of, make_validator, read_toy
from support.protos import Toy

from athanor.serving.docs.column_schemas import EXAMPLE_INSTANT
from athanor.serving.docs.openapi import DescribedModel, build_openapi


def _find_problems(document: dict[str, Any]) -> list[str]:
    return [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_document_is_valid_openapi(name: str) -> None:
    assert _find_problems(json.loads(json.dumps(document_of(CONTRACTS[name]), allow_nan=False))) == []


@pytest.mark.parametrize(
    "break_it",
    [
        lambda document: document["info"].pop("title"),
        lambda document: document["paths"]["/livez"]["get"]["responses"]["200"].pop("description"),
        lambda document: document["components"]["parameters"]["model"].update({"in": "nowhere"}),
        lambda document: document["paths"]["/v2/models/{model}"].pop("parameters"),
        lambda document: document["paths"]["/v2"]["get"].update(operationId="predict"),
        lambda document: document["components"]["schemas"]["Problem"].update(type="thing"),
    ],
)
def test_an_invalid_document_is_noticed(break_it: Callable[[dict[str, Any]], Any]) -> None:
    document = copy.deepcopy(document_of(FLIGHTS))
    break_it(document)
    assert _find_problems(document)


def test_every_endpoint_is_described() -> None:
    offered = {(method.upper(), path) for path, item in document_of(FLIGHTS)["paths"].items() for method in item}
    models = [("GET", ""), ("GET", "/ready"), ("POST", "/infer")]
    assert offered - {("PARAMETERS", path) for _, path in offered} == {
        ("POST", "/v1/models/{model}:predict"),
        ("POST", "/v1/models/{model}:features"),
        *((method, f"/v2/models/{{model}}{end}") for method, end in models),
        *((method, f"/v2/models/{{model}}/versions/{{version}}{end}") for method, end in models),
        *(("GET", path) for path in ("/v2", "/v2/health/live", "/v2/health/ready")),
        *(("POST", f"/v2/repository/{path}") for path in ("index", "models/{model}/load", "models/{model}/unload")),
        *(("GET", path) for path in ("/livez", "/readyz", "/metrics", "/docs", "/docs/{model}", "/openapi.json")),
    }


def _find_schemas(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _find_schemas(each)


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_generated_client_can_tell_every_body_and_every_value_by_its_type(name: str) -> None:
    """openapi-python-client makes of others code that fails.

    For a body without a type it writes `isinstance(body, Any)`, and for a `const` in a union it refuses all else.
    """
    document = document_of(CONTRACTS[name])
    bodies = [body for node in _find_schemas(document["paths"]) for body in node.get("content", {}).values()]
    assert len(bodies) > 25
    assert [body for body in bodies if not {"type", "$ref"} & body["schema"].keys()] == []
    unions = [node[kind] for node in _find_schemas(document) for kind in ("anyOf", "oneOf") if kind in node]
    assert len(unions) >= 2
    assert [union for union in unions if any("type" not in each and "$ref" not in each for each in union)] == []


def test_health_and_the_page_need_no_token() -> None:
    paths = document_of(FLIGHTS)["paths"]
    operations = [
        (path, operation) for path, item in paths.items() for key, operation in item.items() if key != "parameters"
    ]
    assert {path for path, operation in operations if operation["security"] == []} == {
        *("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/docs", "/docs/{model}")
    }
    assert all({"401", "403"} <= operation["responses"].keys() for _, operation in operations if operation["security"])


@pytest.mark.parametrize("path", ["/v1/models/{model}:predict", "/v2/models/{model}/versions/{version}/infer"])
def test_a_prediction_lists_its_errors_and_the_headers_of_its_response(path: str) -> None:
    responses = document_of(FLIGHTS)["paths"][path]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "404", "413", "415", "429", "504"}
    names = {"x-request-id", "x-athanor-version", "x-athanor-digest", "x-athanor-variant"}
    assert set(responses["200"]["headers"]) >= names
    overloaded = document_of(FLIGHTS)["components"]["responses"]["Overloaded"]
    assert overloaded["headers"]["retry-after"]["required"]


def test_a_column_is_described_by_its_options() -> None:
    schemas = document_of(FLIGHTS)["components"]["schemas"]
    properties = schemas["delays.v1.Flight"]["properties"]
    gust, carrier, origin = properties["windGust"], properties["carrier"], properties["origin"]
    assert gust["x-unit"] == "[mi_i]/h"
    assert gust["description"].endswith("a number from 0 to 250 [mi_i]/h. May be missing.")
    assert gust["anyOf"] == [
        {"type": "number", "minimum": 0, "maximum": 250},
        {"type": "string", "enum": ["NaN"]},
        {"type": "null"},
    ]
    assert (carrier["type"], carrier["pattern"], carrier["examples"]) == ("string", r"^(?:[A-Z0-9]{2})$(?!\n)", ["UA"])
    assert origin["enum"] == ["EWR", "JFK", "LGA"]
    assert properties["flightNumber"]["maximum"] == 9_999
    assert properties["scheduledDeparture"]["format"] == "date-time"
    assert schemas["delays.v1.PredictRequest"]["properties"]["flights"]["maxItems"] == MAX_ROWS
    assert schemas["delays.v1.PredictRequest"]["properties"]["semanticVersion"]["enum"] == ["", *VERSIONS]


def test_another_contract_makes_another_document() -> None:
    def bend(toy: Toy) -> None:
        toy.column("amount").maximum = 8

    assert document_of(read_toy(bend)) != document_of(read_toy())


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from node
    if isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _texts(each)
    elif isinstance(node, str):
        yield node


@pytest.mark.parametrize("versions", [(), VERSIONS])
def test_every_name_in_the_document_is_filled_in(versions: tuple[str, ...]) -> None:
    document = build_openapi(DescribedModel(FLIGHTS, versions), MAX_ROWS)
    assert {text for text in _texts(document) if "$" in text.removesuffix("$").removesuffix(r"$(?!\n)")} == {"$ref"}


def test_words_of_the_contract_are_not_filled_in_again() -> None:
    def bend(toy: Toy) -> None:
        toy.column("probability").description = toy.column("amount").description = "$model costs $5, $$"

    document = document_of(read_toy(bend))
    assert "`toy.v1.Row`: $model costs $5, $$." in document["info"]["description"]
    amount = document["components"]["schemas"]["toy.v1.Row"]["properties"]["amount"]
    assert amount["description"].startswith("$model costs $5, $$: a number")


def test_text_with_a_pattern_and_no_example_is_left_out_of_the_examples() -> None:
    schemas = document_of(read_toy())["components"]["schemas"]
    (body,) = schemas["toy.v1.PredictRequest"]["examples"]
    (tensors,) = schemas["InferRequest"]["examples"]
    assert "code" not in body["rows"][0]
    assert "code" not in {tensor["name"] for tensor in tensors["inputs"]}
    assert "examples" not in schemas["toy.v1.Row"]["properties"]["code"]


def test_an_example_of_the_contract_is_shown() -> None:
    def bend(toy: Toy) -> None:
        toy.column("amount").example = "2.5"
        toy.column("at").example = "2013-07-01T08:05:00Z"

    (body,) = document_of(read_toy(bend))["components"]["schemas"]["toy.v1.PredictRequest"]["examples"]
    assert (body["rows"][0]["amount"], body["rows"][0]["at"]) == (2.5, "2013-07-01T08:05:00Z")


@pytest.mark.parametrize(
    ("tensor", "is_valid"),
    [
        ({"name": "distance", "datatype": "FP64", "shape": [2], "data": [1.0, 6000.0]}, True),
        ({"name": "distance", "datatype": "FP64", "shape": [2, 1]}, True),
        ({"name": "distance", "datatype": "FP64", "shape": [2, 1, 1]}, False),
        ({"name": "distance", "datatype": "BYTES", "shape": [1], "data": ["1"]}, False),
        ({"name": "distance", "datatype": "FP64", "shape": [1], "data": [6000.5]}, False),
        ({"name": "distance", "datatype": "FP64", "shape": [1], "data": [None]}, False),
        ({"name": "temperature", "datatype": "FP32", "shape": [1], "data": [None]}, True),
        ({"name": "temperature", "datatype": "FP32", "shape": [1], "data": ["NaN"]}, False),
        ({"name": "origin", "datatype": "BYTES", "shape": [1], "data": ["JFK"]}, True),
        ({"name": "origin", "datatype": "BYTES", "shape": [1], "data": ["BOS"]}, False),
        ({"name": "scheduled_departure", "datatype": "INT64", "shape": [1], "data": [1_700_000_000_000_000]}, True),
        ({"name": "scheduled_departure", "datatype": "BYTES", "shape": [1], "data": [EXAMPLE_INSTANT]}, True),
        ({"name": "scheduled_departure", "datatype": "FP64", "shape": [1], "data": [1.5]}, False),
        ({"name": "no_such_column", "datatype": "FP64", "shape": [1], "data": [1.0]}, False),
    ],
)
def test_a_tensor_holds_the_values_of_a_column(tensor: dict[str, Any], is_valid: bool) -> None:
    assert make_validator(FLIGHTS, "InferRequest").is_valid({"inputs": [tensor]}) == is_valid
