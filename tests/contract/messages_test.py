"""Messages to arrays and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from support.flights import make_columns, make_flight
from support.properties import PROPERTY
from support.protos import Toy

from athanor.contract.columns import Column, Kind
from athanor.contract.messages import is_missing, to_columns, to_messages
from athanor.contract.validation import Rule, validate
from delays.v1 import delays_pb2
from projects.delays.model import MODEL

_COLUMNS = MODEL.contract.columns
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999


def test_arrays_have_the_types_of_their_kinds() -> None:
    values = to_columns(_COLUMNS, [make_flight(), make_flight(carrier="AA", aircraft_seats=100)])
    assert {name: array.dtype for name, array in values.items()} == {c.name: c.kind.dtype for c in _COLUMNS}
    assert values["carrier"].tolist() == ["UA", "AA"]
    assert values["flight_number"].tolist() == [1545.0, 1545.0]
    assert values["scheduled_departure"].tolist() == [np.datetime64("2013-01-01T10:15:00", "us").tolist()] * 2
    np.testing.assert_array_equal(values["aircraft_seats"], [np.nan, 100.0])


def test_an_unset_field_is_missing_as_its_kind_says() -> None:
    values = to_columns(_COLUMNS, [delays_pb2.Flight()])
    for column in _COLUMNS:
        (value,) = values[column.name]
        if column.kind is Kind.TEXT:
            assert value == ""
        elif column.kind is Kind.TIMESTAMP:
            assert np.isnat(value)
        else:
            assert np.isnan(value)
        assert is_missing(column, values[column.name]).tolist() == [True]


def test_zero_is_a_value_and_not_missing() -> None:
    values = to_columns(_COLUMNS, [make_flight(temperature=0.0, scheduled_arrival_minute=0, distance=-0.0)])
    assert values["temperature"].tolist() == [0.0]
    assert values["scheduled_arrival_minute"].tolist() == [0.0]
    assert np.signbit(values["distance"]).tolist() == [True]


def test_false_is_a_value_and_not_missing() -> None:
    outcome = MODEL.contract.outcome_columns
    messages = [delays_pb2.FlightOutcome(arrived_late=late) for late in (False, True)]
    values = to_columns(outcome, [*messages, delays_pb2.FlightOutcome()])
    np.testing.assert_array_equal(values["arrived_late"], [0.0, 1.0, np.nan])


def test_nan_and_empty_text_in_a_message_are_missing() -> None:
    values = to_columns(_COLUMNS, [make_flight(temperature=float("nan"), carrier="")])
    assert np.isnan(values["temperature"][0])
    assert is_missing(MODEL.contract.column("carrier"), values["carrier"]).tolist() == [True]


def test_no_messages_make_empty_arrays_of_the_right_dtypes() -> None:
    values = to_columns(_COLUMNS, [])
    assert {name: (len(array), array.dtype) for name, array in values.items()} == {
        column.name: (0, column.kind.dtype) for column in _COLUMNS
    }
    assert to_messages(_COLUMNS, values, delays_pb2.Flight) == []


@pytest.mark.parametrize(
    "stamp",
    [
        Timestamp(seconds=_LAST_US // 1_000_000 + 1),
        Timestamp(seconds=_FIRST_US // 1_000_000 - 1),
        Timestamp(seconds=2**63 - 1),
        Timestamp(seconds=-(2**63)),
        Timestamp(seconds=0, nanos=1_000_000_000),
        Timestamp(seconds=0, nanos=-1),
    ],
)
def test_an_instant_outside_the_range_of_timestamp_is_reported(stamp: Timestamp) -> None:
    """Neither an overflow, nor a missing value, nor another instant."""
    values = to_columns(_COLUMNS, [make_flight(scheduled_departure=stamp)])
    (breach,) = validate(_COLUMNS, values)
    assert (breach.column.name, breach.rule) == ("scheduled_departure", Rule.TIMESTAMP)


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.5Z"])
def test_the_first_and_last_instants_are_valid_and_round_trip(instant: str) -> None:
    stamp = Timestamp()
    stamp.FromJsonString(instant)
    values = to_columns(_COLUMNS, [make_flight(scheduled_departure=stamp)])
    assert validate(_COLUMNS, values) == ()
    (flight,) = to_messages(_COLUMNS, values, delays_pb2.Flight)
    assert flight.scheduled_departure == stamp


def test_nanoseconds_are_truncated_to_microseconds() -> None:
    values = to_columns(_COLUMNS, [make_flight(scheduled_departure=Timestamp(seconds=1, nanos=2_999))])
    assert values["scheduled_departure"].astype(np.int64).tolist() == [1_000_002]


def test_synthetic_flights_round_trip() -> None:
    values = make_columns(50)
    back = to_columns(_COLUMNS, to_messages(_COLUMNS, values, delays_pb2.Flight))
    for column in _COLUMNS:
        np.testing.assert_array_equal(back[column.name], values[column.name], err_msg=column.name)


def test_message_classes_made_from_a_descriptor_work_too() -> None:
    contract = Toy().read()
    values = {
        "at": np.array(["2013-01-01T00:00:00", "NaT"], dtype="M8[us]"),
        "id": np.array([1.0, 2.0]),
        "amount": np.array([np.nan, 0.0]),
        "count": np.array([4_294_967_295.0, np.nan]),
        "color": np.array(["red", ""], dtype=object),
        "code": np.array(["", "A"], dtype=object),
        "is_new": np.array([0.0, np.nan]),
    }
    messages: list[Any] = to_messages(contract.columns, values, GetMessageClass(contract.row))
    assert [m.HasField("amount") for m in messages] == [False, True]
    assert messages[0].count == 4_294_967_295
    assert [m.HasField("is_new") for m in messages] == [True, False]
    back = to_columns(contract.columns, messages)
    for name, array in values.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)


def _values(column: Column) -> st.SearchStrategy[Any]:
    if column.kind is Kind.TIMESTAMP:
        return st.none() | st.integers(_FIRST_US, _LAST_US)
    if column.kind is Kind.TEXT:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    if column.kind is Kind.INTEGER:
        return st.just(np.nan) | st.integers(-(2**31), 2**31 - 1).map(float)
    return st.floats()


@PROPERTY
@given(st.data())
def test_arrays_of_any_values_round_trip(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 4))
    values = {}
    for column in _COLUMNS[:9]:
        drawn = data.draw(st.lists(_values(column), min_size=length, max_size=length))
        if column.kind is Kind.TIMESTAMP:
            drawn = [np.datetime64("NaT") if us is None else np.datetime64(us, "us") for us in drawn]
        values[column.name] = np.array(drawn, dtype=column.kind.dtype)
    back = to_columns(_COLUMNS[:9], to_messages(_COLUMNS[:9], values, delays_pb2.Flight))
    for name, array in values.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)


def _read_one_by_one(column: Column, messages: Sequence[Any]) -> np.ndarray[Any, Any]:
    """The result of `to_columns`, read message by message."""
    values = []
    for message in messages:
        if column.kind is Kind.TIMESTAMP:
            stamp = message.scheduled_departure
            us = stamp.seconds * 10**6 + stamp.nanos // 1_000
            in_range = 0 <= stamp.nanos < 10**9 and _FIRST_US <= us <= _LAST_US
            value: Any = np.datetime64(us if in_range else _LAST_US + 1, "us")
            values.append(value if message.HasField(column.name) else np.datetime64("NaT"))
        elif column.kind is Kind.TEXT:
            values.append(getattr(message, column.name))
        else:
            values.append(float(getattr(message, column.name)) if message.HasField(column.name) else np.nan)
    return np.array(values, dtype=column.kind.dtype)


_SPECIAL = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0]) | st.floats()
_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "scheduled_departure": st.builds(
            Timestamp,
            seconds=st.sampled_from([0, -62_135_596_800, -62_135_596_801, 253_402_300_799, 253_402_300_800, -(2**63)])
            | st.integers(-(2**63), 2**63 - 1),
            nanos=st.integers(-(2**31), 2**31 - 1) | st.integers(0, 999_999_999),
        ),
        "carrier": st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
        "flight_number": st.sampled_from([0, 1]) | st.integers(-(2**31), 2**31 - 1),
        "origin": st.sampled_from(["", "EWR"]),
        "distance": _SPECIAL,
        "aircraft_year": st.sampled_from([0, 1_999]),
        "temperature": _SPECIAL,
    },
)


@PROPERTY
@given(rows=st.lists(_FIELDS, min_size=1, max_size=40), is_repeated_field=st.booleans())
def test_many_messages_are_read_like_one(rows: list[dict[str, Any]], is_repeated_field: bool) -> None:
    flights = [delays_pb2.Flight(**row) for row in rows]
    messages = delays_pb2.PredictRequest(flights=flights).flights if is_repeated_field else flights
    values = to_columns(_COLUMNS, messages)
    for column in _COLUMNS:
        expected = _read_one_by_one(column, flights)
        np.testing.assert_array_equal(values[column.name], expected, err_msg=column.name)
        assert values[column.name].dtype == expected.dtype
        if column.kind.is_numeric:
            present = ~np.isnan(expected)
            np.testing.assert_array_equal(np.signbit(values[column.name])[present], np.signbit(expected)[present])


@PROPERTY
@given(late=st.lists(st.none() | st.booleans(), min_size=1, max_size=40))
def test_booleans_are_read_one_by_one(late: list[bool | None]) -> None:
    values = to_columns(MODEL.contract.outcome_columns, [delays_pb2.FlightOutcome(arrived_late=v) for v in late])
    np.testing.assert_array_equal(values["arrived_late"], [np.nan if value is None else float(value) for value in late])
