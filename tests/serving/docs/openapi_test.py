"""The OpenAPI document: a right one, that promises of rows exactly what validation keeps."""

import copy
import json
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.properties import PROPERTY, SLOW_PROPERTY
from support.protos import Toy, make_field

from athanor.contract.columns import Column, Kind
from athanor.contract.contract import Contract
from athanor.contract.messages import to_columns
from athanor.contract.validation import validate
from athanor.serving.docs.column_schemas import EXAMPLE_INSTANT
from athanor.serving.docs.openapi import build_openapi
from projects.flight_delay.model import MODEL

_MAX_ROWS: Final = 3
_VERSIONS: Final = ("1.2.3", "1.3.0")
_FLIGHTS: Final = MODEL.contract


def _toy(bend: Callable[[Toy], None] = lambda toy: None) -> Contract:
    toy = Toy()
    bend(toy)
    return toy.read()


def _bend_all(toy: Toy) -> None:
    """Kinds of columns that no project has yet."""
    toy.column("code").example = "A"
    toy.row.field.extend(
        [
            make_field("ratio", 8, "float", description="A share", may_be_missing=True),
            make_field("free_text", 9, "string", description="Whatever"),
            make_field("maybe", 10, "string", description="Or not", categories=["a", "b"], may_be_missing=True),
            make_field("seen_at", 11, ".google.protobuf.Timestamp", description="When seen", may_be_missing=True),
            make_field("weight", 12, "double", description="Unbounded"),
            make_field("halves", 13, "int32", description="Broken bounds", minimum=-1.5, maximum=2.5),
            make_field("digits", 14, "string", description="Digits", pattern=r"\d{2}", example="00"),
            make_field("is_old", 15, "bool", description="Whether it is old"),
        ]
    )


_CONTRACTS: Final = {"flights": _FLIGHTS, "toy": _toy(_bend_all)}


@cache
def _document(contract: Contract) -> dict[str, Any]:
    """Not to be changed."""
    return build_openapi(contract, _VERSIONS, _MAX_ROWS)


def _validator(contract: Contract, name: str) -> Any:
    """Of one component schema."""
    document = _document(contract)
    return OAS31Validator({**document, "$ref": f"#/components/schemas/{name}"}, format_checker=oas31_format_checker)


_REQUESTS: Final = {
    name: _validator(contract, contract.predict.input_type.full_name) for name, contract in _CONTRACTS.items()
}


def _is_right(contract: Contract, body: Any) -> bool:
    """Whether the doors take a body: it is a request, and its rows keep the contract."""
    try:
        request = json_format.ParseDict(body, GetMessageClass(contract.predict.input_type)())
    except json_format.ParseError:
        return False
    rows = getattr(request, contract.rows_field.name)
    return 1 <= len(rows) <= _MAX_ROWS and not validate(contract.columns, to_columns(contract.columns, rows))


def _find_problems(document: dict[str, Any]) -> list[str]:
    return [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]


@pytest.mark.parametrize("name", _CONTRACTS)
def test_a_document_is_openapi(name: str) -> None:
    assert _find_problems(json.loads(json.dumps(_document(_CONTRACTS[name]), allow_nan=False))) == []


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
def test_a_document_that_is_not_openapi_would_be_noticed(break_it: Callable[[dict[str, Any]], Any]) -> None:
    document = copy.deepcopy(_document(_FLIGHTS))
    break_it(document)
    assert _find_problems(document)


def test_every_path_is_there() -> None:
    offered = {(method.upper(), path) for path, item in _document(_FLIGHTS)["paths"].items() for method in item}
    models = [("GET", ""), ("GET", "/ready"), ("POST", "/infer")]
    assert offered - {("PARAMETERS", path) for _, path in offered} == {
        ("POST", "/v1/models/{model}:predict"),
        ("POST", "/v1/models/{model}:features"),
        *((method, f"/v2/models/{{model}}{end}") for method, end in models),
        *((method, f"/v2/models/{{model}}/versions/{{version}}{end}") for method, end in models),
        *(("GET", path) for path in ("/v2", "/v2/health/live", "/v2/health/ready")),
        *(("GET", path) for path in ("/livez", "/readyz", "/metrics", "/docs", "/openapi.json")),
    }


def test_without_a_token_there_is_liveness_and_the_page_that_asks_for_one() -> None:
    paths = _document(_FLIGHTS)["paths"]
    operations = [
        (path, operation) for path, item in paths.items() for key, operation in item.items() if key != "parameters"
    ]
    assert {path for path, operation in operations if operation["security"] == []} == {
        *("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/docs")
    }
    assert all({"401", "403"} <= operation["responses"].keys() for _, operation in operations if operation["security"])


@pytest.mark.parametrize("path", ["/v1/models/{model}:predict", "/v2/models/{model}/versions/{version}/infer"])
def test_an_operation_that_answers_names_its_refusals_and_what_answered(path: str) -> None:
    responses = _document(_FLIGHTS)["paths"][path]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "404", "413", "429", "504"}
    names = {"x-request-id", "x-athanor-version", "x-athanor-digest", "x-athanor-variant"}
    assert set(responses["200"]["headers"]) >= names
    overloaded = _document(_FLIGHTS)["components"]["responses"]["Overloaded"]
    assert overloaded["headers"]["retry-after"]["required"]


def test_a_column_says_what_the_contract_says() -> None:
    schemas = _document(_FLIGHTS)["components"]["schemas"]
    properties = schemas["flight_delay.v1.Flight"]["properties"]
    gust, carrier, origin = properties["windGust"], properties["carrier"], properties["origin"]
    assert gust["x-unit"] == "[mi_i]/h"
    assert gust["description"].endswith("a number from 0 to 250 [mi_i]/h. May be missing.")
    assert gust["anyOf"] == [{"type": "number", "minimum": 0, "maximum": 250}, {"const": "NaN"}, {"type": "null"}]
    assert (carrier["type"], carrier["pattern"], carrier["examples"]) == ("string", "^(?:[A-Z0-9]{2})$", ["UA"])
    assert origin["enum"] == ["EWR", "JFK", "LGA"]
    assert properties["flightNumber"]["maximum"] == 9_999
    assert properties["scheduledDeparture"]["format"] == "date-time"
    assert schemas["flight_delay.v1.PredictRequest"]["properties"]["flights"]["maxItems"] == _MAX_ROWS
    assert schemas["flight_delay.v1.PredictRequest"]["properties"]["semanticVersion"]["enum"] == ["", *_VERSIONS]


def test_another_contract_makes_another_document() -> None:
    def bend(toy: Toy) -> None:
        toy.column("amount").maximum = 8

    assert _document(_toy(bend)) != _document(_toy())


@pytest.mark.parametrize("name", _CONTRACTS)
def test_the_example_is_answered(name: str) -> None:
    contract = _CONTRACTS[name]
    schemas = _document(contract)["components"]["schemas"]
    (body,) = schemas[contract.predict.input_type.full_name]["examples"]
    assert set(body[contract.rows_field.json_name][0]) == set(schemas[contract.row.full_name]["properties"])
    assert _is_right(contract, body)
    assert _REQUESTS[name].is_valid(body)
    (tensors,) = schemas["InferRequest"]["examples"]
    assert _validator(contract, "InferRequest").is_valid(tensors)


def test_text_with_a_pattern_and_no_example_is_left_out_of_the_examples() -> None:
    schemas = _document(_toy())["components"]["schemas"]
    (body,) = schemas["toy.v1.PredictRequest"]["examples"]
    (tensors,) = schemas["InferRequest"]["examples"]
    assert "code" not in body["rows"][0]
    assert "code" not in {tensor["name"] for tensor in tensors["inputs"]}
    assert "examples" not in schemas["toy.v1.Row"]["properties"]["code"]


def test_an_example_of_the_contract_is_shown() -> None:
    def bend(toy: Toy) -> None:
        toy.column("amount").example = "2.5"
        toy.column("at").example = "2013-07-01T08:05:00Z"

    (body,) = _document(_toy(bend))["components"]["schemas"]["toy.v1.PredictRequest"]["examples"]
    assert (body["rows"][0]["amount"], body["rows"][0]["at"]) == (2.5, "2013-07-01T08:05:00Z")


def _right_values(column: Column) -> st.SearchStrategy[Any]:
    match column.kind:
        case Kind.NUMBER:
            return st.floats(max(column.minimum, -(2.0**99)), min(column.maximum, 2.0**99), width=32)
        case Kind.INTEGER:
            return st.integers(math.ceil(column.minimum), math.floor(column.maximum))
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.TIMESTAMP:
            return st.datetimes(timezones=st.just(None)).map(lambda time: f"{time.isoformat()}Z")
    if column.categories:
        return st.sampled_from(column.categories)
    return st.from_regex(column.pattern, fullmatch=True) if column.pattern else st.text("aé\n飛", min_size=1)


_ODD_VALUES: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**33), 2**33),
    st.floats(-1e3, 1e4, width=32).filter(lambda value: not value.is_integer()),
    st.sampled_from([1e308, -1e308, 1e39, 0.5, 2.5, -1.5, 9.5]),
    st.sampled_from(["", "NaN", "Infinity", "-Infinity", "UA\n", "red", "RED", "飛", "x" * 40, "²³", "12"]),
    st.sampled_from(
        [
            EXAMPLE_INSTANT,
            "2024-02-29T23:59:59.123456789+23:59",
            "2023-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01t00:00:00z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.1234567890Z",
            "2024-01-01",
        ]
    ),
    st.just([]),
    st.just({}),
)


def _rows(contract: Contract) -> st.SearchStrategy[dict[str, Any]]:
    """Rows of right values, some of which are left out or are odd, and sometimes with a name too much."""
    names = {column.name: contract.row.fields_by_name[column.name].json_name for column in contract.columns}
    right = {names[column.name]: _right_values(column) for column in contract.columns}
    odd = st.dictionaries(st.sampled_from([*right, "noSuchColumn"]), _ODD_VALUES, max_size=2)
    left_out = st.sets(st.sampled_from(list(right)), max_size=1)
    return st.builds(
        lambda row, odd, left_out: {name: value for name, value in (row | odd).items() if name not in left_out},
        st.fixed_dictionaries(right),
        odd,
        left_out,
    )


def _is_beyond_json_schema(contract: Contract, row: dict[str, Any]) -> bool:
    """Where the two may differ: protobuf reads text and truth values as numbers, and not every pattern can be said."""
    for column in contract.columns:
        value = row.get(contract.row.fields_by_name[column.name].json_name)
        if column.kind in (Kind.NUMBER, Kind.INTEGER) and (value in ("12", "²³") or isinstance(value, bool)):
            return True
        if column.name == "digits" and isinstance(value, str) and not re.fullmatch(column.pattern, value):
            return True
    return False


@pytest.mark.parametrize("name", _CONTRACTS)
@given(data=st.data())
@PROPERTY
def test_the_document_and_validation_agree_on_rows(name: str, data: st.DataObject) -> None:
    contract = _CONTRACTS[name]
    rows = data.draw(st.lists(_rows(contract), min_size=1, max_size=2))
    body = {contract.rows_field.json_name: rows}
    if not any(_is_beyond_json_schema(contract, row) for row in rows):
        assert _REQUESTS[name].is_valid(body) == _is_right(contract, body), rows


@pytest.mark.parametrize("name", _CONTRACTS)
@given(data=st.data())
@SLOW_PROPERTY
def test_each_odd_value_alone_is_judged_alike(name: str, data: st.DataObject) -> None:
    contract = _CONTRACTS[name]
    (body,) = _document(contract)["components"]["schemas"][contract.predict.input_type.full_name]["examples"]
    (row,) = body[contract.rows_field.json_name]
    for column in row:
        changed = row | {column: data.draw(_ODD_VALUES)}
        if not _is_beyond_json_schema(contract, changed):
            body = {contract.rows_field.json_name: [changed]}
            assert _REQUESTS[name].is_valid(body) == _is_right(contract, body), changed


@pytest.mark.parametrize("count", [0, 1, _MAX_ROWS, _MAX_ROWS + 1])
def test_as_many_rows_are_allowed_as_the_service_takes(count: int) -> None:
    (example,) = _document(_FLIGHTS)["components"]["schemas"]["flight_delay.v1.PredictRequest"]["examples"]
    body = {"flights": example["flights"] * count}
    assert _REQUESTS["flights"].is_valid(body) == _is_right(_FLIGHTS, body) == (1 <= count <= _MAX_ROWS)


def test_a_schema_that_promised_too_much_would_be_noticed() -> None:
    """The same comparison fails where the document is of another contract than the one that judges."""

    def bend(toy: Toy) -> None:
        _bend_all(toy)
        toy.column("amount").maximum = 10

    wide = _validator(_toy(bend), "toy.v1.PredictRequest")
    (example,) = _document(_CONTRACTS["toy"])["components"]["schemas"]["toy.v1.PredictRequest"]["examples"]
    body = copy.deepcopy(example)
    body["rows"][0]["amount"] = 9.5
    assert wide.is_valid(body)
    assert not _is_right(_CONTRACTS["toy"], body)


@pytest.mark.parametrize(
    ("tensor", "is_right"),
    [
        ({"name": "distance", "datatype": "FP64", "shape": [2], "data": [1.0, 6000.0]}, True),
        ({"name": "distance", "datatype": "FP64", "shape": [2, 1]}, True),
        ({"name": "distance", "datatype": "FP64", "shape": [2, 2]}, False),
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
def test_a_tensor_is_a_column(tensor: dict[str, Any], is_right: bool) -> None:
    assert _validator(_FLIGHTS, "InferRequest").is_valid({"inputs": [tensor]}) == is_right
