"""Examples of a column's values, held to the column's own rules when the contract is read."""

from typing import Any

import pytest
from support.protos import Toy, make_field

from athanor.contract.columns import Column
from athanor.errors import ContractError
from projects.delays.model import MODEL


def _read(name: str, example: str) -> Column:
    toy = Toy()
    toy.row.field.append(make_field("share", 8, "float", description="A share", may_be_missing=True))
    toy.column(name).example = example
    return next(column for column in toy.read().columns if column.name == name)


@pytest.mark.parametrize(
    ("name", "example", "value"),
    [
        ("at", "2013-07-01T08:05:00Z", "2013-07-01T08:05:00Z"),
        ("at", "2013-07-01T10:05:00+02:00", "2013-07-01T08:05:00Z"),
        ("id", "7", 7),
        ("amount", "2.5", 2.5),
        ("amount", "2", 2.0),
        ("share", "0.1", 0.1),
        ("color", "green", "green"),
        ("code", "XY", "XY"),
        ("is_new", "false", False),
    ],
)
def test_an_example_is_read_as_protobuf_json(name: str, example: str, value: Any) -> None:
    found = _read(name, example).example
    assert (found, type(found)) == (value, type(value))


def test_a_column_without_the_option_has_no_example() -> None:
    assert [column.example for column in Toy().read().columns] == [None] * 7


def test_examples_of_outcome_and_prediction_are_read_too() -> None:
    toy = Toy()
    toy.column("won").example = "true"
    toy.column("probability").example = "0.25"
    contract = toy.read()
    assert (contract.label.example, contract.prediction.example) == (True, 0.25)


@pytest.mark.parametrize(
    ("name", "example", "message"),
    [
        ("code", "xy", r"toy\.v1\.Row\.code: example 'xy' breaks PATTERN; give text that matches \[A-Z\]\+"),
        ("code", "", r"Row\.code: example '' breaks REQUIRED; give text"),
        ("color", "blue", r"Row\.color: example 'blue' breaks CATEGORY; give one of red, green"),
        ("amount", "9.5", r"Row\.amount: example '9\.5' breaks MAXIMUM; give a number from 0 to 9 kg"),
        ("id", "0", r"example '0' breaks MINIMUM; give a whole number"),
        ("id", "1.5", r"example '1\.5' cannot be read; give a whole number"),
        ("amount", "much", r"example 'much' cannot be read; give a number"),
        ("amount", "NaN", r"example 'NaN' cannot be read; give a number"),
        ("amount", '"Infinity"', r"breaks FINITE; give a number"),
        ("share", "null", r"example 'null' breaks REQUIRED; give a number"),
        ("is_new", "1", r"example '1' cannot be read; give a boolean"),
        ("at", "2013-07-01", r"example '2013-07-01' cannot be read; give a timestamp"),
    ],
)
def test_an_example_that_breaks_a_rule_of_its_column_is_refused(name: str, example: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        _read(name, example)


def test_each_pattern_of_the_flights_has_an_example() -> None:
    """Without one, documentation would show a request that is refused."""
    assert {column.name: column.example for column in MODEL.contract.columns if column.pattern} == {
        "carrier": "UA",
        "destination": "IAH",
    }
