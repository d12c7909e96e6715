"""Values that their column's type cannot hold: their rows are named, and all others are read."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.sources import write

from athanor.data.sources.columns.types import cast, problem, read_types
from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.source import Opened, Source
from athanor.errors import DataError

_INSTANT = "timestamp[us, tz=UTC]"


def _open(source: Source, folder: Path) -> tuple[pa.Table, Opened]:
    source.fetch(folder, None)
    opened = source.open(folder, 1000)
    return pa.concat_tables([table for table, _ in opened.batches]), opened


def _unread(opened: Opened) -> list[tuple[str, str, list[int], list[Any]]]:
    return [
        (unread.file, unfit.column, unfit.rows.tolist(), unfit.values)
        for unread in opened.unread
        for unfit in unread.unfit
    ]


@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        ("int64", "17", "abc"),
        ("int64", "9223372036854775807", "9223372036854775808"),
        ("int32", "-5", "3000000000"),
        ("float64", "1.5", "1,5"),
        ("float64", "nan", "n/a"),
        ("bool", "true", "yes"),
        ("date32", "2013-01-01", "01.02.2013"),
        ("timestamp[us]", "2013-01-01 10:00", "2013-02-30 10:00"),
        (_INSTANT, "2016-12-31T23:59:59Z", "2016-12-31T23:59:60Z"),
        (_INSTANT, "2013-01-01T10:00+01:00", "2013-01-01T10:00"),
        ("decimal128(5, 2)", "123.45", "1234.56"),
    ],
)
def test_a_row_with_a_value_of_another_type_is_left_out_and_named(
    here: Path, kept: Path, declared: str, good: str, bad: str
) -> None:
    lines = ["x,y", *(f'"{good}",{row}' for row in (2, 3)), f'"{bad}",4', f'" {bad} ",5', ",6", f'"{good}",7']
    path = write(here / "a.csv", "\n".join(lines).encode())
    table, opened = _open(DelimitedFiles(path, types={"x": declared}), kept)
    assert table["y"].to_pylist() == [2, 3, 6, 7]
    assert table["x"].type == read_types({"x": declared})["x"]
    assert table["x"].is_null().to_pylist() == [False, False, True, False]
    assert _unread(opened) == [("a.csv", "x", [4, 5], [bad, f" {bad} "])]


def test_rows_are_numbered_in_their_file_over_all_chunks(
    here: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("athanor.data.sources.text._CHUNK_BYTES", 100)
    monkeypatch.setattr("athanor.data.sources.text._READ_BYTES", 100)
    bad = {7: "x", 60: "y", 99: "z"}
    lines = "\n".join(["x", *(str(bad.get(row, row)) for row in range(2, 102))])
    write(here / "1.csv", lines.encode())
    write(here / "2.csv", b"x\n1\nlast\n")
    table, opened = _open(DelimitedFiles(here, types={"x": "int64"}), kept)
    assert table["x"].to_pylist() == [*(row for row in range(2, 102) if row not in bad), 1]
    assert _unread(opened) == [
        *(("1.csv", "x", [row], [text]) for row, text in bad.items()),
        ("2.csv", "x", [3], ["last"]),
    ]


def test_a_row_with_several_values_of_other_types_is_left_out_once(here: Path, kept: Path) -> None:
    path = write(here / "a.csv", b"x,y,z\n1,2,a\nb,c,d\n3,e,f\n")
    table, opened = _open(DelimitedFiles(path, types={"x": "int64", "y": "int64"}), kept)
    assert table.to_pylist() == [{"x": 1, "y": 2, "z": "a"}]
    assert _unread(opened) == [("a.csv", "x", [3], ["b"]), ("a.csv", "y", [3, 4], ["c", "e"])]


def test_no_row_counts_twice_where_types_are_inferred_anew(
    here: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first chunk makes `y` a whole number, the second a number: both are read again."""
    monkeypatch.setattr("athanor.data.sources.text._CHUNK_BYTES", 8)
    monkeypatch.setattr("athanor.data.sources.text._READ_BYTES", 8)
    path = write(here / "a.csv", b"x,y\n1,1\nbad,2\n3,2.5\n4,4\n")
    table, opened = _open(DelimitedFiles(path, types={"x": "int64"}), kept)
    assert table.to_pydict() == {"x": [1, 3, 4], "y": [1.0, 2.5, 4.0]}
    assert _unread(opened) == [("a.csv", "x", [3], ["bad"])]


@pytest.mark.parametrize(
    ("first", "later", "words"),
    [
        (b"1", b"2.5", r"row 4 .*: column 'x': '2.5' is not a whole number .*types=\{'x': 'double'\}"),
        (b"2013-01-01T10:00:00.5Z", b"9999-12-31T10:00:00.5Z", r"types=\{'x': 'timestamp\[us, tz=UTC\]'\}"),
        (b"", b"2", r"column 'x': '2' is not null; its type null was inferred .*types=\{'x': 'string'\}"),
    ],
)
def test_a_later_value_of_a_wider_type_is_refused(
    here: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, first: bytes, later: bytes, words: str
) -> None:
    monkeypatch.setattr("athanor.data.sources.delimited._INFERRED_BYTES", 10)
    write(here / "1.csv", b"x,y\n%s,1\n%s,1\n" % (first, first))
    write(here / "2.csv", b"x,y\n%s,1\n%s,1\n%s,1\n" % (first, first, later))
    with pytest.raises(DataError, match=r"2\.csv, " + (words if words.startswith("row") else ".*" + words)):
        _open(DelimitedFiles(here), kept)


def test_a_later_value_of_no_wider_type_is_left_out(here: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("athanor.data.sources.delimited._INFERRED_BYTES", 1)
    write(here / "1.csv", b"x\n1\n")
    write(here / "2.csv", b"x\n2\nmany\n3\n")
    table, opened = _open(DelimitedFiles(here), kept)
    assert table["x"].to_pylist() == [1, 2, 3]
    assert _unread(opened) == [("2.csv", "x", [3], ["many"])]


@pytest.mark.parametrize(
    ("given", "declared", "expected", "wrong"),
    [
        (pa.array([1.0, 1.5, None]), "int64", [1, None, None], [1]),
        (pa.array([2**53, 2**53 + 1]), "float64", [2.0**53, None], [1]),
        (pa.array([1, 300, -1]), "uint8", [1, None, None], [1, 2]),
        (pa.array([b"a", b"\xff", None]), "string", ["a", None, None], [1]),
        (pa.array(["1.0", "9007199254740993.00", "1.5"]), "int64", [1, 2**53 + 1, None], [2]),
        (pa.array(["1", "x", "x", "2"]).dictionary_encode(), "int64", [1, None, None, 2], [1, 2]),
    ],
)
def test_a_value_is_cast_exactly_or_not_at_all(
    given: pa.Array, declared: str, expected: list[Any], wrong: list[int]
) -> None:
    values, rows = cast(pa.chunked_array([given]), read_types({"x": declared})["x"])
    assert (values.to_pylist(), rows.tolist()) == (expected, wrong)


def test_a_declared_zone_is_the_zone_of_times_without_one() -> None:
    given = pa.chunked_array([pa.array(["2013-01-01 05:00", "2013-03-10 02:30"]).cast(pa.timestamp("s"))])
    values, rows = cast(given, pa.timestamp("us", tz="America/New_York"))
    assert values.cast(pa.timestamp("us", tz="UTC")).to_pylist()[0].isoformat() == "2013-01-01T10:00:00+00:00"
    assert rows.tolist() == [1]  # the clocks skip it


def test_what_is_wrong_with_a_time_is_said() -> None:
    kind = read_types({"x": _INSTANT})["x"]
    assert problem("2013-01-01 05:00", kind).startswith("'2013-01-01 05:00' has no time zone; append one, such as Z")
    assert "is a leap second" in problem("2016-12-31T23:59:60Z", kind)
    assert problem("noon", kind) == "'noon' is not an instant such as 2013-05-01T17:30:00Z"
