"""Rows in are the rows of the file, value by value, by the count of Python's csv module."""

import csv
import gzip
import io
import zipfile
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY
from support.sources import ingest, write

from athanor.data.sources.delimited import DelimitedFiles
from athanor.errors import DataError

_MIB: Final = 1 << 20
_MARK: Final = "\ufeff".encode()


def _rows(text: bytes) -> list[list[str]]:
    """The rows of a text as the standard library reads them, header included and blank lines left out."""
    return [row for row in csv.reader(io.StringIO(text.decode("utf-8-sig"), newline="")) if row]


def _read(path: Path, kept: Path) -> list[list[str]]:
    """The rows as a source reads them, header included, all values text and none missing."""
    names = _rows(path.read_bytes().split(b"\n")[0].split(b"\r")[0])[0]
    table = ingest(DelimitedFiles(path, null_values=(), types=dict.fromkeys(names, "string")), kept)
    return [names, *map(list, zip(*(column.to_pylist() for column in table.columns), strict=True))]


def _long_rows(count: int) -> list[bytes]:
    return [b"%d,a text of some length that is read in bulk %d\n" % (row, row) for row in range(count)]


@pytest.mark.parametrize(
    "row",
    [
        b"17000,a text of some length\0\n",
        b"17000,\0\n",
        b"\0,17000\n",
        b"17000," + b"\0" * 40 + b"\n",
        b'17000,"a quoted\0\nvalue, of two lines\0"\n',
        b"17000\0,\0a\0b\0\r\n",
    ],
)
def test_a_nul_byte_merges_no_rows(here: Path, kept: Path, row: bytes) -> None:
    rows = _long_rows(30_000)
    rows[17_000] = row
    text = b"x,y\n" + b"".join(rows)
    found = _read(write(here / "a.csv", text), kept)
    assert len(found) == 30_001
    assert found == _rows(text)


def test_a_nul_byte_beside_all_other_control_characters_is_read_or_refused(here: Path, kept: Path) -> None:
    controls = bytes(code for code in range(1, 32) if code not in b"\r\n")
    text = b"x,y\n1,a\0\n2," + controls + b"\n"
    with pytest.raises(DataError, match=r"a\.csv has NUL bytes beside every other control character"):
        _read(write(here / "a.csv", text), kept)


def test_a_nul_byte_in_a_number_is_named(here: Path, kept: Path) -> None:
    path = write(here / "a.csv", b"x\n1\n2\0\n")
    source = DelimitedFiles(path, types={"x": "int64"})
    source.fetch(kept, None)
    opened = source.open(kept, 10)
    assert [table.to_pydict() for table, _ in opened.batches] == [{"x": [1]}]
    ((unfit,),) = [unread.unfit for unread in opened.unread]
    assert (unfit.column, unfit.rows.tolist(), unfit.values) == ("x", [3], ["2\0"])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_in_another_encoding_is_refused(here: Path, kept: Path, encoding: str) -> None:
    path = write(here / "a.csv", "id,name\n1,Ann\n".encode(encoding))
    with pytest.raises(DataError, match=r"a\.csv is not delimited text in UTF-8: .*; convert it"):
        ingest(DelimitedFiles(path), kept)


@pytest.mark.parametrize("edge", [b"\r\n", b"\r", b"\n", b'""', b'""\r\n""', "ä".encode(), _MARK, b"\0", b"\r\n\r\n"])
@pytest.mark.parametrize("shift", [-3, -2, -1, 0])
def test_nothing_is_lost_at_the_edge_of_a_block(here: Path, kept: Path, edge: bytes, shift: int) -> None:
    """Within quotes, across the ends of the first blocks of a MiB and of a chunk of four."""
    text = b"x,y\r\n"
    for end in range(_MIB + shift, 5 * _MIB, _MIB):
        text += (b'1,"' + b"a" * 9_993 + b'"\r\n') * ((end - len(text)) // 10_000)
        text += b'"' + b"b" * (end - len(text) - 1) + edge + b'",c\r\n'
    assert _read(write(here / "a.csv", text), kept) == _rows(text)


_PIECES = st.sampled_from(["a", "ä", '"', ",", "\n", "\r", "\r\n", "\0", "\ufeff", " ", "a long text in bulk"])
_VALUES = st.lists(_PIECES, max_size=8).map("".join)


@PROPERTY
@given(
    st.lists(st.tuples(_VALUES, _VALUES), min_size=1, max_size=20),
    st.integers(1, 60),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_what_the_standard_library_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], size: int, ends: str, is_closed: bool
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=ends).writerows([("x", "y"), *rows])
    content = text.getvalue().encode() if is_closed else text.getvalue().removesuffix(ends).encode()
    folder = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("athanor.data.sources.text._READ_BYTES", 3)
        patch.setattr("athanor.data.sources.text._CHUNK_BYTES", size)
        patch.setattr("athanor.data.sources.delimited._BLOCK_BYTES", 64)
        found = _read(write(folder / "a.csv", content), folder / "kept")
    assert found == [["x", "y"], *map(list, rows)] == _rows(content)


@pytest.mark.parametrize("ends", [b"\r", b"\n", b"\r\n"])
def test_a_large_file_of_any_line_ends_is_read(here: Path, kept: Path, ends: bytes) -> None:
    text = b"x,y\n" + b"".join(_long_rows(200_000))
    text = text.replace(b"\n", ends)
    assert len(_read(write(here / "a.csv", text), kept)) == 200_001


@pytest.mark.parametrize(
    "text",
    [
        b"\n\nx,y\n\n1,2\n\r\n\r3,4\n\n",
        b"x,y\n1,2\n" + _MARK + b"x,y\n3,4\n",
        _MARK + b"x,y\n" + _MARK + b"1,2\n",
        b"x,y\n1,2\r3,4\r\n5,6\n\r7,8",
        "x,y\n1,a\x0bb\x0cc\x1cd\x85e\u2028f\n".encode(),
        b'x,y\n"1","2"\n3"",4\n"5""","""6"\n',
        b"x,y\n1,2\n3,\x1a",
    ],
)
def test_unusual_text_has_the_rows_that_the_standard_library_finds(here: Path, kept: Path, text: bytes) -> None:
    found = ingest(DelimitedFiles(write(here / "a.csv", text), null_values=(), types={"y": "string"}), kept)
    assert [list(map(str, row.values())) for row in found.to_pylist()] == _rows(text)[1:]


@pytest.mark.parametrize("position", range(8))
def test_a_mark_at_the_edge_of_a_chunk_is_kept(
    here: Path, kept: Path, position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("athanor.data.sources.text._CHUNK_BYTES", 4)
    monkeypatch.setattr("athanor.data.sources.text._READ_BYTES", 1)
    text = b"x\n" + b"".join((_MARK if row == position else b"") + b"a%d\n" % row for row in range(8))
    assert _read(write(here / "a.csv", text), kept) == _rows(text)


def test_members_of_one_name_are_each_read(here: Path, kept: Path) -> None:
    with zipfile.ZipFile(here / "a.zip", "w") as archive:
        archive.writestr("a.csv", "x\n1\n")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.csv", "x\n2\n")
    assert ingest(DelimitedFiles(here / "a.zip"), kept)["x"].to_pylist() == [1, 2]


@pytest.mark.parametrize("name", ["A.CSV.GZ", "a.csv.Gz"])
def test_a_suffix_may_be_in_capitals(here: Path, kept: Path, name: str) -> None:
    path = write(here / name, gzip.compress(b"x\n1\n") + gzip.compress(b"2\n"))
    assert ingest(DelimitedFiles(path), kept)["x"].to_pylist() == [1, 2]
