"""The schemas of the OpenAPI document: they allow exactly the rows that validation accepts."""

import copy
import math
import re
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.documents import (
    CONTRACTS,
    FLIGHTS,
    MAX_ROWS,
    add_all_kinds,
    document_of,
    example_request,
    is_right,
    make_validator,
    read_toy,
)
from support.properties import PROPERTY, SLOW_PROPERTY
from support.protos import Toy

from athanor.contract.columns import Column, Kind
from athanor.contract.contract import Contract
from athanor.serving.docs.column_schemas import EXAMPLE_INSTANT

_REQUESTS: Final = {
    name: make_validator(contract, contract.predict.input_type.full_name) for name, contract in CONTRACTS.items()
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_example_is_answered(name: str) -> None:
    contract = CONTRACTS[name]
    schemas = document_of(contract)["components"]["schemas"]
    body = example_request(contract)
    assert set(body[contract.rows_field.json_name][0]) == set(schemas[contract.row.full_name]["properties"])
    assert is_right(contract, body)
    assert _REQUESTS[name].is_valid(body)
    (tensors,) = schemas["InferRequest"]["examples"]
    assert make_validator(contract, "InferRequest").is_valid(tensors)


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
    """Rows of allowed values, some left out or odd, sometimes with an unknown name."""
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
    """Where they may differ: text is read as numbers, numbers as booleans, and ECMA-262 lacks some patterns."""
    for column in contract.columns:
        value = row.get(contract.row.fields_by_name[column.name].json_name)
        if column.kind in (Kind.NUMBER, Kind.INTEGER) and value in ("12", "NaN"):
            return True
        if column.kind is Kind.BOOLEAN and value in (0, 1):
            return True
        if column.kind is Kind.TIMESTAMP and value == "":
            return True
        if column.name == "digits" and isinstance(value, str) and not re.fullmatch(column.pattern, value):
            return True
    return False


@pytest.mark.parametrize("name", CONTRACTS)
@given(data=st.data())
@PROPERTY
def test_the_document_and_validation_agree_on_rows(name: str, data: st.DataObject) -> None:
    contract = CONTRACTS[name]
    rows = data.draw(st.lists(_rows(contract), min_size=1, max_size=2))
    body = {contract.rows_field.json_name: rows}
    if not any(_is_beyond_json_schema(contract, row) for row in rows):
        assert _REQUESTS[name].is_valid(body) == is_right(contract, body), rows


@pytest.mark.parametrize("name", CONTRACTS)
@given(data=st.data())
@SLOW_PROPERTY
def test_the_document_and_validation_agree_on_each_odd_value(name: str, data: st.DataObject) -> None:
    contract = CONTRACTS[name]
    (row,) = example_request(contract)[contract.rows_field.json_name]
    for column in row:
        changed = row | {column: data.draw(_ODD_VALUES)}
        if not _is_beyond_json_schema(contract, changed):
            body = {contract.rows_field.json_name: [changed]}
            assert _REQUESTS[name].is_valid(body) == is_right(contract, body), changed


@pytest.mark.parametrize("count", [0, 1, MAX_ROWS, MAX_ROWS + 1])
def test_the_document_and_the_service_agree_on_the_number_of_rows(count: int) -> None:
    body = {"flights": example_request(FLIGHTS)["flights"] * count}
    assert _REQUESTS["flights"].is_valid(body) == is_right(FLIGHTS, body) == (1 <= count <= MAX_ROWS)


@pytest.mark.parametrize(("carrier", "is_valid"), [("UA", True), ("UA\n", False), ("UAX", False), ("", False)])
def test_a_pattern_holds_for_the_whole_text(carrier: str, is_valid: bool) -> None:
    (row,) = example_request(FLIGHTS)["flights"]
    body = {"flights": [{**row, "carrier": carrier}]}
    assert _REQUESTS["flights"].is_valid(body) == is_right(FLIGHTS, body) == is_valid


def test_a_schema_that_allows_too_much_is_noticed() -> None:
    """The same comparison fails for a document of another contract."""

    def bend(toy: Toy) -> None:
        add_all_kinds(toy)
        toy.column("amount").maximum = 10

    wide = make_validator(read_toy(bend), "toy.v1.PredictRequest")
    body = copy.deepcopy(example_request(CONTRACTS["toy"]))
    body["rows"][0]["amount"] = 9.5
    assert wide.is_valid(body)
    assert not is_right(CONTRACTS["toy"], body)


@pytest.mark.parametrize(
    ("ratio", "is_valid"),
    [(0.1, True), (0.10000000149011612, True), (0.3, True), (0.30000001192092896, True), (0.31, False), (0.09, False)],
)
def test_a_bound_of_32_bits_may_be_given_in_decimals_or_exactly(ratio: float, is_valid: bool) -> None:
    def bend(toy: Toy) -> None:
        add_all_kinds(toy)
        toy.column("ratio").minimum, toy.column("ratio").maximum = 0.1, 0.3

    contract = read_toy(bend)
    body = copy.deepcopy(example_request(contract))
    body["rows"][0]["ratio"] = ratio
    assert make_validator(contract, "toy.v1.PredictRequest").is_valid(body) == is_right(contract, body) == is_valid
    (tensors,) = document_of(contract)["components"]["schemas"]["InferRequest"]["examples"]
    (tensor,) = (tensor for tensor in tensors["inputs"] if tensor["name"] == "ratio")
    assert tensor["datatype"] == "FP32"
    tensor = {**tensor, "data": [ratio]}
    assert make_validator(contract, "InferRequest").is_valid({"inputs": [tensor]}) == is_valid
