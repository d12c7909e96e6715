"""Rows from files: JSON arrays, JSON lines, CSV, and invalid files."""

import io
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flights import make_flight

from athanor.client.files.rows import RowFormat, format_of, read_rows
from athanor.errors import InvalidRequestError, SettingsError
from delays.v1 import delays_pb2

_COLUMNS: Final = (
    "scheduled_departure,carrier,flight_number,origin,destination,scheduled_arrival_minute,distance,temperature"
)
_LINE: Final = "2013-01-01T10:15:00Z,UA,1545,EWR,IAH,819,1400,39"


def _read(text: str, form: RowFormat) -> list[Any]:
    return list(read_rows(io.StringIO(text, newline=""), "rows", form, delays_pb2.Flight))


def _cell(column: str, text: str) -> Any:
    """Value read from a cell of a column; None if it is missing."""
    (row,) = _read(f'carrier,{column}\nUA,"{text}"\n', RowFormat.CSV)
    return getattr(row, column) if row.HasField(column) else None


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (f"{_COLUMNS}\n{_LINE}\n", RowFormat.CSV),
        (f"{_COLUMNS}\r\n{_LINE}\r\n\r\n", RowFormat.CSV),
        (f"{_COLUMNS},wind_gust\n{_LINE},", RowFormat.CSV),
        (
            '{"scheduled_departure": "2013-01-01T10:15:00Z", "carrier": "UA", "flight_number": 1545, "origin": "EWR", '
            '"destination": "IAH", "scheduled_arrival_minute": 819, "distance": 1400, "temperature": 39}\n\n',
            RowFormat.JSONL,
        ),
        (
            '[{"scheduledDeparture": "2013-01-01T11:15:00+01:00", "carrier": "UA", "flightNumber": 1545, '
            '"origin": "EWR", "destination": "IAH", "scheduledArrivalMinute": 819, "distance": 1400.0, '
            '"temperature": 39}]',
            RowFormat.JSON,
        ),
    ],
)
def test_a_row_is_the_same_in_every_format(text: str, form: RowFormat) -> None:
    assert _read(text, form) == [make_flight()]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("distance", "1e3", 1000.0),
        ("distance", "-.5", -0.5),
        ("distance", "", None),
        ("flight_number", "12.0", 12),
        ("flight_number", "-2147483648", -(2**31)),
        ("origin", "", None),
        ("origin", ' a, ""b""\n', ' a, "b"\n'),
    ],
)
def test_a_cell_is_read_by_its_columns_type(column: str, text: str, value: Any) -> None:
    assert _cell(column, text) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-12-24T22:15:00Z", "2013-12-24T22:15:00Z"),
        ("2013-12-24T22:15:00.123456789Z", "2013-12-24T22:15:00.123456789Z"),
        ("2013-12-24T22:15:00-05:00", "2013-12-25T03:15:00Z"),
    ],
)
def test_an_rfc_3339_timestamp_is_read(text: str, expected: str) -> None:
    assert _cell("scheduled_departure", text).ToJsonString() == expected


@pytest.mark.parametrize(
    ("column", "text", "allowed"),
    [
        ("distance", "far", "a finite number"),
        ("distance", "nan", "a finite number"),
        ("distance", "inf", "a finite number"),
        ("distance", "1e999", "a finite number"),
        ("distance", "1_000", "a finite number"),
        ("distance", " 1", "a finite number"),
        ("distance", "0x10", "a finite number"),
        ("distance", "\N{ARABIC-INDIC DIGIT ONE}", "a finite number"),
        ("distance", "9" * 100_000, "a finite number"),
        ("flight_number", "1.5", "a whole number from -2147483648 to 2147483647"),
        ("flight_number", "2147483648", "a whole number from -2147483648 to 2147483647"),
        ("flight_number", "1e3", "a whole number from -2147483648 to 2147483647"),
        ("scheduled_departure", "2013-12-24", "an RFC 3339 timestamp"),
        ("scheduled_departure", "2013-12-24T22:15:00", "an RFC 3339 timestamp"),
        ("scheduled_departure", "2013-13-24T22:15:00Z", "an RFC 3339 timestamp"),
        ("scheduled_departure", "0000-12-24T22:15:00Z", "an RFC 3339 timestamp"),
        ("scheduled_departure", "2013-12-24T22:15:00+99:99", "an RFC 3339 timestamp"),
    ],
)
def test_an_invalid_cell_is_named_with_line_column_value_and_the_allowed(column: str, text: str, allowed: str) -> None:
    with pytest.raises(InvalidRequestError, match="rows: line 3 has 1 invalid cells") as caught:
        _read(f'carrier,{column}\nUA,\nUA,"{text}"\n', RowFormat.CSV)
    (violation,) = caught.value.violations
    assert (violation.field, violation.rule) == (column, "TYPE")
    assert violation.description.startswith(f"rows: line 3, column {column}: '{text[:100]}")
    assert f"is not allowed; give {allowed}" in violation.description
    assert len(violation.description) < 1000


def test_all_invalid_cells_of_a_line_are_named() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        _read("distance,flight_number\nx,y\n", RowFormat.CSV)
    assert [violation.field for violation in caught.value.violations] == ["distance", "flight_number"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "carrier,colour\n",
            "line 1: delays.v1.Flight has no column 'colour'; it has scheduled_departure, carrier",
        ),
        ("carrier,carrier\n", "line 1 has column carrier twice"),
        (",\n", "has no column ''"),
        ("carrier,origin\nUA\n", "line 2 has 1 cells, but the header has 2"),
        ("carrier,origin\nUA,EWR,IAH\n", "line 2 has 3 cells, but the header has 2"),
        ('carrier\n"UA\n', "line 2 is not CSV: unexpected end of data"),
        ('carrier\n"UA" \n', "line 2 is not CSV"),
        ("carrier\n" + "x" * 200_000, "line 2 is not CSV: field larger than field limit"),
    ],
)
def test_an_invalid_table_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        _read(text, RowFormat.CSV)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}\n{", "rows: line 2 is not JSON"),
        ("{}\n[]", "rows: line 2 is not a JSON object of delays.v1.Flight"),
        ("null", "rows: line 1 is not a JSON object"),
        ("[" * 100_000, "rows: line 1 is not JSON: maximum recursion depth"),
        ('{"carrier": "UA", "carrier": "AA"}', "line 1 is not JSON: an object has one key twice"),
        ('{"colour": 1}', "rows: line 1 is not a delays.v1.Flight: "),
        ('{"carrier": 5}', "rows: line 1 is not a delays.v1.Flight: "),
        ('{"carrier": "\\ud800"}', "rows: line 1 is not a delays.v1.Flight: "),
        ('{"flight_number": 1.5}', "rows: line 1 is not a delays.v1.Flight: "),
        ('{"scheduled_departure": 5}', "rows: line 1 is not a delays.v1.Flight: "),
        ('{"scheduled_departure": {}}', "rows: line 1 is not a delays.v1.Flight: "),
        ("{}" + " " * 1024 * 1024, "line 1 is longer than 1048576 characters; give one row per line"),
        ("9" * 10_000, "rows: line 1 is not JSON: "),
    ],
)
def test_a_line_that_is_not_a_row_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        _read(text, RowFormat.JSONL)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", "null", "1", '"["'])
def test_an_invalid_array_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"rows (is not a JSON array of rows|is not JSON)"):
        _read(text, RowFormat.JSON)


def test_a_row_of_an_array_is_named_by_its_position() -> None:
    with pytest.raises(InvalidRequestError, match=r"rows: row 1 is not a delays\.v1\.Flight"):
        _read('[{}, {"carrier": 5}]', RowFormat.JSON)


@pytest.mark.parametrize("form", list(RowFormat))
def test_bytes_that_are_not_utf_8_are_refused(form: RowFormat) -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"carrier\n\xff\xfe\n"), encoding="utf-8-sig", newline="")
    with pytest.raises(InvalidRequestError, match="rows is not UTF-8 text: invalid start byte at byte"):
        list(read_rows(stream, "rows", form, delays_pb2.Flight))


def test_lines_are_read_one_by_one() -> None:
    stream = io.StringIO("{}\n{}\nnot JSON", newline="")
    rows = read_rows(stream, "rows", RowFormat.JSONL, delays_pb2.Flight)
    assert [next(rows), next(rows)] == [delays_pb2.Flight()] * 2
    with pytest.raises(InvalidRequestError, match="line 3"):
        next(rows)


@pytest.mark.parametrize("form", list(RowFormat))
@given(text=st.text() | st.from_regex(r'[\[{"a-z:,0-9.\n]*'))
def test_any_file_is_rows_or_refused(form: RowFormat, text: str) -> None:
    try:
        rows = _read(text, form)
    except InvalidRequestError:
        return
    assert all(isinstance(row, delays_pb2.Flight) for row in rows)


@given(text=st.text())
def test_any_text_in_a_table_is_kept(text: str) -> None:
    quoted = text.replace('"', '""')
    (row,) = _read(f'carrier,origin\n"{quoted}",EWR\n', RowFormat.CSV)
    assert row.carrier == text


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.json", RowFormat.JSON), ("a.JSONL", RowFormat.JSONL), ("a.ndjson", RowFormat.JSONL), ("a.csv", RowFormat.CSV)],
)
def test_a_suffix_means_a_format(name: str, form: RowFormat) -> None:
    assert format_of(Path(name)) is form


def test_an_unknown_suffix_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"has no known format; give --format, or a name that ends in \.json, \.jsonl"
    ):
        format_of(Path("rows.txt"))
