"""Delimited text becomes tables with one type for each column, or is refused with what is wrong and where."""

import bz2
import gzip
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.sources import ingest, write, write_zip

from athanor.data.sources.delimited import DelimitedFiles
from athanor.errors import DataError, SettingsError

_TEXT = b"id,name,mass\n1,Ann,2.5\n2,NA,\n3,,NA\n"
_ROWS = [
    {"id": 1, "name": "Ann", "mass": 2.5},
    {"id": 2, "name": None, "mass": None},
    {"id": 3, "name": None, "mass": None},
]


def _zstd(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "compress"),
    [("a.csv.gz", gzip.compress), ("a.csv.bz2", bz2.compress), ("a.csv.zst", _zstd)],
)
def test_a_compressed_file_is_kept_compressed(
    here: Path, kept: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    content = compress(_TEXT)
    path = write(here / name, content)
    assert ingest(DelimitedFiles(path), kept).to_pylist() == _ROWS
    assert (kept / name).read_bytes() == content


def test_a_compressed_file_of_several_parts_is_read_to_its_end(here: Path, kept: Path) -> None:
    path = write(here / "a.csv.gz", gzip.compress(_TEXT[:20]) + gzip.compress(_TEXT[20:]))
    assert ingest(DelimitedFiles(path), kept).to_pylist() == _ROWS


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_all_members_of_an_archive_are_one_table(here: Path, kept: Path, method: int) -> None:
    rest = b"id,name,mass\n4,Bob,1\n"
    members = {"one.csv": _TEXT, "deep/two.csv": rest, "__MACOSX/._one.csv": b"\0"}
    path = write_zip(here / "a.zip", members, method)
    source = DelimitedFiles(path)
    assert ingest(source, kept)["id"].to_pylist() == [1, 2, 3, 4]
    assert (kept / "a.zip").read_bytes() == path.read_bytes()
    assert source.open(kept, 10).size == len(_TEXT) + len(rest)


def test_an_ordinary_table_is_read_as_pandas_reads_it(here: Path, kept: Path) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "number": random.normal(size=5000),
            "whole": random.integers(-9, 9, 5000),
            "gaps": np.where(random.random(5000) < 0.2, np.nan, 7.0),
            "text": random.choice(["a", "b,c", 'say "d"', "two\nlines", "ä"], 5000),
            "is_so": random.random(5000) < 0.5,
        }
    )
    frame.to_csv(here / "a.csv", index=False)
    table = ingest(DelimitedFiles(here / "a.csv"), kept, batch_rows=999)
    pd.testing.assert_frame_equal(table.to_pandas(), pd.read_csv(here / "a.csv"), check_dtype=False)


def test_batches_have_the_length_that_was_asked_for(here: Path, kept: Path) -> None:
    source = DelimitedFiles(write(here / "a.csv", b"id\n" + b"1\n" * 25))
    source.fetch(kept, None)
    assert [table.num_rows for table, _ in source.open(kept, 10).batches] == [10, 10, 5]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_any_way_and_the_last_in_none(here: Path, kept: Path, ends: bytes) -> None:
    path = write(here / "a.csv", _TEXT.rstrip().replace(b"\n", ends))
    assert ingest(DelimitedFiles(path), kept).to_pylist() == _ROWS


def test_a_byte_order_mark_is_no_part_of_a_name(here: Path, kept: Path) -> None:
    path = write(here / "a.csv", b"\xef\xbb\xbf" + _TEXT)
    assert ingest(DelimitedFiles(path), kept).column_names == ["id", "name", "mass"]


@pytest.mark.parametrize("text", [b"id,name", b"id,name\n"])
def test_a_header_alone_is_a_table_without_rows(here: Path, kept: Path, text: bytes) -> None:
    table = ingest(DelimitedFiles(write(here / "a.csv", text)), kept)
    assert (table.column_names, table.num_rows) == (["id", "name"], 0)


def test_another_delimiter_and_other_words_for_missing(here: Path, kept: Path) -> None:
    path = write(here / "a.txt", b"id;name\n1;-\n-;NA\n")
    source = DelimitedFiles(path, delimiter=";", null_values=("-",))
    assert ingest(source, kept).to_pylist() == [{"id": 1, "name": None}, {"id": None, "name": "NA"}]


def test_a_verbatim_column_is_kept_as_written(here: Path, kept: Path) -> None:
    """NA is Namibia, and a code begins with zeros; elsewhere NA is a missing value."""
    path = write(here / "a.csv", b'country,code,size,note\nNA,007,NA,NA\n,"",2,x\n"NA",1,x,y\n')
    source = DelimitedFiles(path, verbatim=("country", "code"), types={"size": "int64"})
    source.fetch(kept, None)
    opened = source.open(kept, 10)
    assert pa.concat_tables([table for table, _ in opened.batches]).to_pylist() == [
        {"country": "NA", "code": "007", "size": None, "note": None},
        {"country": None, "code": None, "size": 2, "note": "x"},
    ]
    assert [unfit.values for unread in opened.unread for unfit in unread.unfit] == [["x"]]


def test_a_verbatim_column_is_text(here: Path, kept: Path) -> None:
    with pytest.raises(SettingsError, match=r"verbatim names \['id'\], which types declares otherwise"):
        DelimitedFiles(here, types={"id": "int64"}, verbatim=("id",))
    with pytest.raises(SettingsError, match=r"\['id'\], which columns leaves out"):
        DelimitedFiles(here, columns=("x",), verbatim=("id",))
    with pytest.raises(DataError, match=r"types declares \['zip'\]"):
        ingest(DelimitedFiles(write(here / "a.csv", _TEXT), verbatim=("zip",)), kept)


def test_declared_types_are_kept_to(here: Path, kept: Path) -> None:
    path = write(here / "a.csv", b"zip,at,mass,price\n02134,2013-01-01T01:00:00+01:00,1,2.50\n")
    types = {"zip": "string", "at": "timestamp[us, tz=UTC]", "mass": "float64", "price": "decimal128(10, 2)"}
    table = ingest(DelimitedFiles(path, types=types), kept)
    assert table.schema.types == [pa.string(), pa.timestamp("us", tz="UTC"), pa.float64(), pa.decimal128(10, 2)]
    assert table["zip"].to_pylist() == ["02134"]
    assert table["at"].to_pylist() == [datetime(2013, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (b"1", b"2.5", pa.float64()),
        (b"", b"2", pa.int64()),
        (b"2", b"", pa.int64()),
        (b"", b"", pa.null()),
        (b"02134", b"x", pa.string()),
        (b"true", b"1", pa.string()),
        (b"2013-01-01", b"2013-01-01 10:00", pa.timestamp("s")),
        (b"2013-01-01T10:00:00Z", b"2013-01-01T10:00:00.5Z", pa.timestamp("ns", tz="UTC")),
        (b"2013-01-01T10:00:00Z", b"2013-01-01T10:00:00", pa.string()),
    ],
)
def test_a_column_has_one_type_over_all_files(
    here: Path, kept: Path, first: bytes, second: bytes, expected: pa.DataType
) -> None:
    write(here / "1.csv", b"x,y\n%s,1\n" % first)
    write(here / "2.csv", b"x,y\n%s,1\n" % second)
    column = ingest(DelimitedFiles(here), kept)["x"]
    assert column.type == expected
    if expected == pa.string():
        assert column.to_pylist() == [first.decode(), second.decode()]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.csv": b""}, r"a\.csv is empty; its first row must name the columns"),
        ({"a.csv": b"\n\n"}, r"a\.csv is empty"),
        ({"a.csv": b"id,id\n1,2\n"}, r"a\.csv has duplicate columns: 'id'"),
        ({"a.csv": b"id\n1\n", "b.csv": b"key\n1\n"}, r"b\.csv has columns \['key'\], a\.csv has \['id'\]"),
        ({"a.csv": b"id,x\n1,2\n3\n"}, r"a\.csv, row 3 \(the header is row 1\): .*Expected 2 columns, got 1: 3"),
        ({"a.csv": b"id,x\n1,2\n3,4,5\n"}, r"row 3 .*Expected 2 columns, got 3"),
        ({"a.csv": b'id,x\n1,"2\n3,4\n'}, r"a\.csv: a row has no end; it begins '1,\"2.*Check for a quote"),
        ({"a.csv": "id\nä\n".encode("latin-1")}, r"a\.csv is not delimited text in UTF-8: .*0xe4.*; convert it"),
        ({"a.csv": "id\n1\n".encode("utf-16")}, r"a\.csv is not delimited text in UTF-8"),
        ({"a.csv.gz": gzip.compress(_TEXT)[:-9]}, r"a\.csv\.gz cannot be read: "),
        ({"a.csv.gz": _TEXT}, r"a\.csv\.gz cannot be read: "),
        ({"a.zip": _TEXT}, r"a\.zip cannot be read: File is not a zip file"),
    ],
)
def test_files_that_make_no_table_are_refused_by_name(
    here: Path, kept: Path, files: dict[str, bytes], words: str
) -> None:
    for name, content in files.items():
        write(here / name, content)
    with pytest.raises(DataError, match=f"(?s){words}"):
        ingest(DelimitedFiles(here), kept)


def test_an_empty_archive_is_refused(here: Path, kept: Path) -> None:
    with pytest.raises(DataError, match=r"a\.zip is an empty archive"):
        ingest(DelimitedFiles(write_zip(here / "a.zip", {"empty/": b""})), kept)


def test_a_damaged_archive_is_refused(here: Path, kept: Path) -> None:
    path = write_zip(here / "a.zip", {"a.csv": _TEXT}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"Ann", b"Bob"))
    with pytest.raises(DataError, match=r"a\.zip/a\.csv cannot be read: Bad CRC-32"):
        ingest(DelimitedFiles(path), kept)


def test_a_declared_column_that_is_not_there_is_named(here: Path, kept: Path) -> None:
    with pytest.raises(DataError, match=r"types declares \['y'\]; a\.csv has columns \['id', 'name', 'mass'\]"):
        ingest(DelimitedFiles(write(here / "a.csv", _TEXT), types={"y": "int64"}), kept)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"delimiter": ""}, "delimiter '' is not one ASCII character"),
        ({"delimiter": "::"}, "delimiter '::'"),
        ({"delimiter": "§"}, "delimiter '§'"),
        ({"delimiter": '"'}, "other than a quote"),
        ({"null_values": "NA"}, r"null_values 'NA' is not a tuple of strings such as \('', 'NA'\)"),
        ({"null_values": (None,)}, r"null_values \(None,\)"),
        ({"types": {"x": "number"}}, r"types\['x'\] is 'number', which is not a type; use string, bool"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_once(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        DelimitedFiles("a.csv", **settings)


def test_some_columns_can_be_read_alone(here: Path, kept: Path) -> None:
    write(here / "a.csv", b"id,name,at\n1,x,2013-01-01\n2,y,never\n")
    table = ingest(DelimitedFiles(here / "a.csv", columns=("name", "id"), types={"id": "string"}), kept)
    assert table.to_pydict() == {"name": ["x", "y"], "id": ["1", "2"]}


def test_a_value_is_named_by_its_column_where_some_are_read_alone(here: Path, kept: Path) -> None:
    write(here / "a.csv", b"id,name,size\n1,x,3\n2,y,large\n")
    source = DelimitedFiles(here / "a.csv", columns=("size",), types={"size": "int64"})
    source.fetch(kept, None)
    opened = source.open(kept, 10)
    assert [table.to_pydict() for table, _ in opened.batches] == [{"size": [3]}]
    ((unfit,),) = [unread.unfit for unread in opened.unread]
    assert (unfit.column, unfit.rows.tolist(), unfit.values) == ("size", [3], ["large"])


def test_columns_that_are_not_there_are_named(here: Path, kept: Path) -> None:
    write(here / "a.csv", b"id,name\n1,x\n")
    with pytest.raises(DataError, match=r"columns names \['size'\]; a\.csv has columns \['id', 'name'\]"):
        ingest(DelimitedFiles(here / "a.csv", columns=("id", "size")), kept)


def test_a_type_of_a_column_that_is_not_read_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"types declares \['size'\], which columns leaves out"):
        DelimitedFiles("a.csv", columns=("id",), types={"size": "int64"})
