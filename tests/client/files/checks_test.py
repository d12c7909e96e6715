"""A file is checked whole before it is sent: quickly, and every line that cannot be read is named where it is."""

import io
import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from athanor.client.files.rows import RowFormat, check_rows, open_text, read_rows
from athanor.errors import InvalidRequestError
from delays.v1 import delays_pb2

_HEADER: Final = "scheduled_departure,carrier,flight_number,distance\n"
_LINE: Final = "2013-01-01T10:15:00Z,UA,1545,1400.5\n"


class _Counting:
    """Makes rows, and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> Any:
        self.made += 1
        return delays_pb2.Flight()


def _read(read: Any, content: bytes, form: RowFormat, row_class: Any = delays_pb2.Flight) -> list[Any]:
    return list(read(open_text(io.BytesIO(content)), "rows", form, row_class))


def _refuse(read: Any, content: bytes, form: RowFormat) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        _read(read, content, form)
    return caught.value


@pytest.mark.parametrize("read", [read_rows, check_rows])
def test_every_bad_line_of_a_table_is_named(read: Any) -> None:
    bad = {5: "2013-01-01T10:15:00Z,UA,x,y\n", 400: "UA\n", 1_999: "2013-02-30T10:15:00Z,UA,1,1\n"}
    lines = [bad.get(number, _LINE) for number in range(2, 2_001)]
    error = _refuse(read, (_HEADER + "".join(lines)).encode(), RowFormat.CSV)
    assert str(error) == "rows: 3 rows cannot be read"
    assert [v.description.partition(" is ")[0].partition(" has ")[0] for v in error.violations] == [
        "rows: line 5, column flight_number: 'x'",
        "rows: line 5, column distance: 'y'",
        "rows: line 400",
        "rows: line 1999, column scheduled_departure: '2013-02-30T10:15:00Z'",
    ]


@pytest.mark.parametrize("read", [read_rows, check_rows])
def test_every_bad_line_of_json_is_named(read: Any) -> None:
    lines = ["{}", '{"carrier": 5}', '{"carrier": "UA"}', "{x", '{"distance": "far"}']
    error = _refuse(read, "\n".join(lines).encode(), RowFormat.JSONL)
    assert [v.description.split(" is not ")[0] for v in error.violations] == [f"rows: line {n}" for n in (2, 4, 5)]
    assert "at column 2" in error.violations[1].description
    array = f"[{', '.join(line for line in lines if line != '{x')}]"
    error = _refuse(read, array.encode(), RowFormat.JSON)
    assert [v.description.split(" is not ")[0] for v in error.violations] == [f"rows: row {n}" for n in (1, 3)]


def test_an_array_that_is_not_json_is_located_in_the_file() -> None:
    error = _refuse(check_rows, b'[\n{},\n{"carrier" 5}\n]', RowFormat.JSON)
    assert str(error).endswith("at line 3, column 12")


def test_rows_after_a_bad_line_are_not_sent() -> None:
    read = read_rows(open_text(io.BytesIO(b"{}\nx\n{}\n")), "rows", RowFormat.JSONL, delays_pb2.Flight)
    assert next(read) == delays_pb2.Flight()
    with pytest.raises(InvalidRequestError, match="line 2"):
        next(read)


def test_only_the_first_thousand_are_named() -> None:
    error = _refuse(check_rows, (_HEADER + "x\n" * 1_500).encode(), RowFormat.CSV)
    assert str(error) == "rows: 1,500 rows cannot be read; these are the first 1,000"
    assert len(error.violations) == 1_000


class _Pipe(io.BytesIO):
    """Bytes that do not know their position."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise io.UnsupportedOperation


@pytest.mark.parametrize("source", [io.BytesIO, _Pipe])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("form", [RowFormat.CSV, RowFormat.JSONL])
def test_a_byte_that_is_not_utf_8_is_located_in_the_file(source: Any, mark: bytes, form: RowFormat) -> None:
    good = (_HEADER + _LINE * 3_000).encode() if form is RowFormat.CSV else b"{}\n" * 50_000
    content = mark + good + b"M\xc3\xbcnchen,\xff\n"
    with pytest.raises(InvalidRequestError) as caught:
        list(read_rows(open_text(source(content)), "rows", form, delays_pb2.Flight))
    place = f"at byte {content.index(0xFF)}, line {good.count(10) + 1}"
    messages = [str(caught.value), *(violation.description for violation in caught.value.violations)]
    assert any(place in text for text in messages)


def test_a_file_that_ends_within_a_character_is_located() -> None:
    content = b"{}\n" * 10_000 + b'"\xc3'
    error = _refuse(check_rows, content, RowFormat.JSONL)
    assert "unexpected end of data at byte 30001, line 10001" in str(error)


@pytest.mark.parametrize("form", [RowFormat.CSV, RowFormat.JSONL])
def test_a_good_line_is_checked_without_making_a_row(form: RowFormat) -> None:
    """Making rows takes ten times as long."""
    row = '{"scheduled_departure": "2013-01-01T10:15:00Z", "carrier": "UA", "flight_number": 1, "distance": null}\n'
    content = _HEADER + _LINE * 25_000 if form is RowFormat.CSV else row * 25_000
    counting = _Counting()
    assert _read(check_rows, content.encode(), form, counting) == [10_000, 20_000]
    assert counting.made == 1


_CELLS: Final = st.one_of(
    st.sampled_from(["", "UA", "1", "1.0", "-1", "1.5", "1e3", "nan", "true", "9" * 12, "9" * 400]),
    st.sampled_from(["2013-01-01T10:15:00Z", "0000-01-01T10:15:00Z", "2013-02-29T10:15:00Z"]),
    st.sampled_from(["9999-12-31T23:59:59.999999999Z", "\x1f", 'a"b', "a\nb", "飛"]),
)


@PROPERTY
@given(rows=st.lists(st.lists(_CELLS, min_size=3, max_size=5), max_size=3))
def test_the_quick_check_accepts_only_lines_that_can_be_read(rows: list[list[str]]) -> None:
    quoted = ['"' + '","'.join(cell.replace('"', '""') for cell in row) + '"\n' for row in rows]
    _agree((_HEADER + "".join(quoted)).encode(), RowFormat.CSV)


_VALUES: Final = st.one_of(
    st.sampled_from([None, True, "UA", "\ud800", 2**31, -(2**31), 2**400, 1.5, float("nan"), float("inf"), [], {}]),
    st.sampled_from(["2013-01-01T10:15:00Z", "2013-02-29T10:15:00Z", "NaN", "1", 1e308, 3.5e38]),
)
_NAMES: Final = (
    "carrier",
    "flight_number",
    "flightNumber",
    "distance",
    "scheduled_departure",
    "scheduledDeparture",
    "x",
)


@PROPERTY
@given(row=st.dictionaries(st.sampled_from(_NAMES), _VALUES))
def test_the_quick_check_accepts_only_objects_that_can_be_read(row: dict[str, Any]) -> None:
    _agree(json.dumps(row).encode(), RowFormat.JSONL)
    _agree(json.dumps([row]).encode(), RowFormat.JSON)


def _agree(content: bytes, form: RowFormat) -> None:
    errors = []
    for read in (read_rows, check_rows):
        try:
            _read(read, content, form)
            errors.append("")
        except InvalidRequestError as error:
            errors.append(str(error))
    assert errors[0] == errors[1]
