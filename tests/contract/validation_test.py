"""Validation, against a check that reads value by value."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY
from support.protos import Toy

from athanor.contract.columns import Column, Kind
from athanor.contract.contract import Contract
from athanor.contract.validation import Breach, Rule, Violation, validate
from athanor.errors import ContractError
from projects.delays.model import MODEL

_CONTRACT: Contract = Toy().read()
_COLUMNS = _CONTRACT.columns
_FIRST = np.datetime64("0001-01-01T00:00:00", "us")
_LAST = np.datetime64("9999-12-31T23:59:59.999999", "us")
_GOOD: Mapping[str, Any] = {
    "at": np.datetime64("2013-01-01T00:00:00", "us"),
    "id": 1.0,
    "amount": 5.0,
    "count": 2.0,
    "color": "red",
    "code": "AB",
    "is_new": 1.0,
}
_NOT_A_TIME = np.datetime64("NaT", "us")


def _to_arrays(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    arrays = {}
    for column in _COLUMNS:
        arrays[column.name] = np.empty(len(rows), dtype=column.kind.dtype)
        for position, row in enumerate(rows):
            arrays[column.name][position] = row[column.name]
    return arrays


def _find(*rows: Mapping[str, Any]) -> list[Violation]:
    return [violation for breach in validate(_COLUMNS, _to_arrays(rows)) for violation in breach]


def _rules(**values: object) -> list[tuple[str, Rule]]:
    return [(violation.column.name, violation.rule) for violation in _find({**_GOOD, **values})]


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("at", _NOT_A_TIME, Rule.REQUIRED),
        ("id", np.nan, Rule.REQUIRED),
        ("color", "", Rule.REQUIRED),
        ("amount", np.inf, Rule.FINITE),
        ("amount", -np.inf, Rule.FINITE),
        ("count", np.inf, Rule.FINITE),
        ("id", 1.5, Rule.WHOLE),
        ("count", 0.25, Rule.WHOLE),
        ("is_new", 0.5, Rule.WHOLE),
        ("amount", -0.01, Rule.MINIMUM),
        ("id", 0.0, Rule.MINIMUM),
        ("count", -1.0, Rule.MINIMUM),
        ("is_new", -1.0, Rule.MINIMUM),
        ("amount", 9.01, Rule.MAXIMUM),
        ("id", 2.0**31, Rule.MAXIMUM),
        ("is_new", 2.0, Rule.MAXIMUM),
        ("color", "blue", Rule.CATEGORY),
        ("color", "RED", Rule.CATEGORY),
        ("color", " red", Rule.CATEGORY),
        ("code", "ab", Rule.PATTERN),
        ("code", "AB1", Rule.PATTERN),
        ("code", "1AB", Rule.PATTERN),
        ("code", "AB\n", Rule.PATTERN),
        ("at", _LAST + 1, Rule.TIMESTAMP),
        ("at", _FIRST - 1, Rule.TIMESTAMP),
    ],
)
def test_each_rule_can_fail(name: str, value: object, rule: Rule) -> None:
    assert _rules(**{name: value}) == [(name, rule)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", 0.0),
        ("amount", -0.0),
        ("amount", 9.0),
        ("id", 1.0),
        ("id", 2.0**31 - 1),
        ("is_new", 0.0),
        ("at", _FIRST),
        ("at", _LAST),
        ("color", "green"),
        ("count", np.nan),
        ("code", ""),
        ("is_new", np.nan),
    ],
)
def test_bounds_are_inclusive_and_optional_values_may_be_missing(name: str, value: object) -> None:
    assert _rules(**{name: value}) == []


def test_no_rows_break_nothing() -> None:
    assert validate(_COLUMNS, _to_arrays([])) == ()


def test_a_violation_says_where_it_is_and_what_is_allowed() -> None:
    (breach,) = validate(_COLUMNS, _to_arrays([_GOOD, {**_GOOD, "amount": 10.5}, _GOOD, {**_GOOD, "amount": 11}]))
    assert isinstance(breach, Breach)
    assert breach.rows.tolist() == [1, 3]
    assert breach.values.tolist() == [10.5, 11]
    first, second = breach
    assert (first.row, first.column.name, first.rule, first.value) == (1, "amount", Rule.MAXIMUM, 10.5)
    assert str(first) == "10.5 is not allowed (MAXIMUM); give a number from 0 to 9 kg"
    assert second.row == 3


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"color": "blue"}, "'blue' is not allowed (CATEGORY); give one of red, green"),
        ({"color": ""}, "is required; give one of red, green"),
        ({"code": "a\n"}, r"'a\n' is not allowed (PATTERN); give text that matches [A-Z]+"),
        ({"code": "a" * 1_000}, f"'{'a' * 99}… is not allowed (PATTERN); give text that matches [A-Z]+"),
    ],
)
def test_values_in_messages_are_quoted_and_cut(values: Mapping[str, str], text: str) -> None:
    assert str(*_find({**_GOOD, **values})) == text


def test_every_wrong_value_is_found_at_once() -> None:
    found = _find({**_GOOD, "amount": -1.0, "color": "blue", "at": _NOT_A_TIME}, {**_GOOD, "id": 0.5, "count": 0.5})
    assert {(violation.row, violation.column.name, violation.rule) for violation in found} == {
        (0, "amount", Rule.MINIMUM),
        (0, "color", Rule.CATEGORY),
        (0, "at", Rule.REQUIRED),
        (1, "id", Rule.WHOLE),
        (1, "id", Rule.MINIMUM),
        (1, "count", Rule.WHOLE),
    }


def test_other_arrays_are_ignored() -> None:
    assert validate(_COLUMNS, {**_to_arrays([_GOOD]), "other": np.zeros(7)}) == ()


def test_absent_columns_are_named() -> None:
    values = _to_arrays([_GOOD])
    del values["amount"], values["code"]
    with pytest.raises(ContractError, match="columns without an array: amount, code; give"):
        validate(_COLUMNS, values)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("amount", np.zeros(1, dtype=np.float32), "amount has dtype float32; its kind, number, needs float64"),
        ("id", np.zeros(1, dtype=np.int64), "id has dtype int64; its kind, integer, needs float64"),
        ("color", np.array(["red"]), "color has dtype <U3; its kind, text, needs object"),
        (
            "at",
            np.zeros(1, dtype="M8[ns]"),
            r"at has dtype datetime64\[ns\]; its kind, timestamp, needs datetime64\[us\]",
        ),
    ],
)
def test_an_array_of_another_type_is_refused(name: str, values: np.ndarray[Any, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        validate(_COLUMNS, {**_to_arrays([_GOOD]), name: values})


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ContractError, match=r"columns differ in length, .*: at 1, id 1, amount 2"):
        validate(_COLUMNS, {**_to_arrays([_GOOD]), "amount": np.zeros(2)})


def _naive(column: Column, value: Any) -> set[Rule]:
    """The rules that a value breaks, as `options.proto` defines them."""
    if column.kind is Kind.TIMESTAMP:
        return _naive_timestamp(column, value)
    if value == "" or (isinstance(value, float) and math.isnan(value)):
        return set() if column.may_be_missing else {Rule.REQUIRED}
    if column.kind is Kind.TEXT:
        wrong_category = bool(column.categories) and value not in column.categories
        wrong_pattern = bool(column.pattern) and not re.compile(f"(?:{column.pattern})\\Z").match(value)
        return {rule for rule, broken in ((Rule.CATEGORY, wrong_category), (Rule.PATTERN, wrong_pattern)) if broken}
    if math.isinf(value):
        return {Rule.FINITE}
    low, high = (0, 1) if column.kind is Kind.BOOLEAN else (column.minimum, column.maximum)
    broken = {
        Rule.WHOLE: column.kind is not Kind.NUMBER and value != int(value),
        Rule.MINIMUM: value < low,
        Rule.MAXIMUM: value > high,
    }
    return {rule for rule, is_so in broken.items() if is_so}


def _naive_timestamp(column: Column, value: np.datetime64) -> set[Rule]:
    if np.isnat(value):
        return set() if column.may_be_missing else {Rule.REQUIRED}
    return set() if _FIRST <= value <= _LAST else {Rule.TIMESTAMP}


def _values(column: Column) -> st.SearchStrategy[Any]:
    """Values around the allowed range, often on its edges."""
    if column.kind is Kind.TIMESTAMP:
        instants = st.sampled_from([_FIRST, _FIRST - 1, _LAST, _LAST + 1, _NOT_A_TIME])
        return instants | st.integers(-(2**62), 2**62).map(lambda us: np.datetime64(us, "us"))
    if column.kind is Kind.TEXT:
        return st.sampled_from(["", *column.categories]) | st.text(alphabet="ABCab1 \n", max_size=4)
    edges = [bound for bound in (column.minimum, column.maximum) if math.isfinite(bound)]
    near = st.sampled_from([*edges, 0.0, -0.0, 0.5, 1.0, np.nan, np.inf, -np.inf])
    return near | st.floats(-20, 20) | st.integers(-20, 20).map(float) | st.floats()


@PROPERTY
@given(st.data())
def test_it_finds_the_same_as_a_check_value_by_value(data: st.DataObject) -> None:
    columns = _CONTRACT.columns + MODEL.contract.columns[1:4]
    # Around the length from which whole columns are checked in place of values.
    length = data.draw(st.integers(0, 5) | st.integers(6, 40))
    drawn = {c.name: data.draw(st.lists(_values(c), min_size=length, max_size=length)) for c in columns}
    values = {column.name: np.array(drawn[column.name], dtype=column.kind.dtype) for column in columns}
    found = {(v.row, v.column.name, v.rule) for breach in validate(columns, values) for v in breach}
    expected = {
        (row, column.name, rule)
        for column in columns
        for row, value in enumerate(values[column.name])
        for rule in _naive(column, value)
    }
    assert found == expected


def _draw_good(column: Column) -> st.SearchStrategy[Any]:
    """Allowed values, often on the edges: at random, hardly any request of several rows would be valid."""
    missing = {Kind.TEXT: "", Kind.TIMESTAMP: _NOT_A_TIME}.get(column.kind, np.nan)
    absent = st.just(missing) if column.may_be_missing else st.nothing()
    if column.kind is Kind.TIMESTAMP:
        return absent | st.sampled_from([_FIRST, _LAST, np.datetime64(0, "us")])
    if column.kind is Kind.TEXT:
        return absent | (st.sampled_from(column.categories) if column.categories else st.sampled_from(["A", "ABC"]))
    low, high = (0, 1) if column.kind is Kind.BOOLEAN else (column.minimum, column.maximum)
    whole = st.integers(int(low), int(high)).map(float) | st.sampled_from([float(low), float(high)])
    return absent | (whole if column.kind is not Kind.NUMBER else st.floats(low, high) | st.sampled_from([-0.0, 0.0]))


@PROPERTY
@given(st.data())
def test_few_rows_and_whole_columns_agree(data: st.DataObject) -> None:
    """Few rows are checked value by value first; the result must be the same as for whole columns."""
    length = data.draw(st.integers(1, 40))
    values = {}
    for column in _COLUMNS:
        good = data.draw(st.lists(_draw_good(column), min_size=length, max_size=length))
        values[column.name] = np.array(good, dtype=column.kind.dtype)
    assert validate(_COLUMNS, values) == ()
    column = data.draw(st.sampled_from(_COLUMNS))
    values[column.name][data.draw(st.integers(0, length - 1))] = data.draw(_values(column))
    often = 2_000 // length + 1
    many = {name: np.tile(array, often) for name, array in values.items()}
    few = {(v.row, v.column.name, v.rule) for breach in validate(_COLUMNS, values) for v in breach}
    found = {(v.row, v.column.name, v.rule) for breach in validate(_COLUMNS, many) for v in breach}
    assert found == {(row + length * turn, name, rule) for row, name, rule in few for turn in range(often)}


def test_columns_of_one_name_keep_their_own_rules() -> None:
    """Caches hash a column by its name alone, and must not mix up two columns of that name."""
    for most in (9.0, 3.0, 9.0, 5.0):
        toy = Toy()
        toy.column("amount").maximum = most
        column = toy.read().column("amount")
        for value in (2.0, 4.0, 6.0, 10.0):
            breaches = validate([column], {"amount": np.array([value])})
            assert [breach.rule for breach in breaches] == ([Rule.MAXIMUM] if value > most else [])


@pytest.mark.parametrize("rows", [1, 20])
def test_text_without_a_pattern_can_be_required(rows: int) -> None:
    toy = Toy()
    for option in ("pattern", "example", "may_be_missing", "missing_budget"):
        toy.column("code").ClearField(option)
    column = toy.read().column("code")
    assert validate([column], {"code": np.array(["any"] * rows, dtype=object)}) == ()
    (breach,) = validate([column], {"code": np.array(["any"] * (rows - 1) + [""], dtype=object)})
    assert (breach.rule, breach.rows.tolist()) == (Rule.REQUIRED, [rows - 1])


def test_no_columns_break_nothing() -> None:
    assert validate([], {"other": np.zeros(7)}) == ()
