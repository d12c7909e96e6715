"""Parquet parts as pandas writes them: each typed by its own values, and still one table."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.sources import ingest

from athanor.data.sources.parquet import ParquetFiles
from athanor.errors import DataError, SettingsError

_BEYOND_FLOATS = 2**53 + 1


def _write(here: Path, *columns: Any) -> None:
    for number, column in enumerate(columns, start=1):
        pq.write_table(pa.table({"x": column}), here / f"{number}.parquet")


def test_parts_of_one_frame_are_one_table(here: Path, kept: Path) -> None:
    """A null here and none there; all null; the columns in another order."""
    pd.DataFrame({"id": [1, 2], "name": ["a", "b"], "is_new": [True, False]}).to_parquet(here / "1.parquet")
    pd.DataFrame({"name": [None, "c"], "id": [3, None], "is_new": [None, True]}).to_parquet(here / "2.parquet")
    pd.DataFrame({"id": [None], "name": [None], "is_new": [None]}).to_parquet(here / "3.parquet")
    table = ingest(ParquetFiles(here), kept)
    assert table.schema == pa.schema([("id", pa.float64()), ("name", table["name"].type), ("is_new", pa.bool_())])
    assert table.to_pydict() == {
        "id": [1.0, 2.0, 3.0, None, None],
        "name": ["a", "b", None, "c", None],
        "is_new": [True, False, None, True, None],
    }


def test_the_order_of_columns_is_the_first_part_s_or_the_wanted_one(here: Path, kept: Path) -> None:
    pq.write_table(pa.table({"x": [1], "y": [2]}), here / "1.parquet")
    pq.write_table(pa.table({"y": [4], "z": [0], "x": [3]}), here / "2.parquet")
    assert ingest(ParquetFiles(here, columns=("y", "x")), kept).to_pydict() == {"y": [2, 4], "x": [1, 3]}


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((pa.int32(), pa.int64()), pa.int64()),
        ((pa.uint32(), pa.int32()), pa.int64()),
        ((pa.uint8(), pa.uint16()), pa.uint16()),
        ((pa.int64(), pa.float32()), pa.float64()),
        ((pa.null(), pa.null()), pa.null()),
        ((pa.null(), pa.int64(), pa.float64()), pa.float64()),
        ((pa.string(), pa.large_string()), pa.large_string()),
        ((pa.dictionary(pa.int8(), pa.string()), pa.string()), pa.string()),
        ((pa.decimal128(5, 2), pa.decimal128(7, 3)), pa.decimal128(7, 3)),
        ((pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("ms")), pa.timestamp("ns")),
        ((pa.timestamp("us", "UTC"), pa.timestamp("us", "Asia/Tokyo")), pa.timestamp("us", "UTC")),
    ],
)
def test_types_that_have_one_in_common_are_unified(
    here: Path, kept: Path, kinds: tuple[pa.DataType, ...], expected: pa.DataType
) -> None:
    for ordered in (kinds, kinds[::-1]):
        _write(here, *(pa.nulls(1, kind) if pa.types.is_null(kind) else pa.array([None], kind) for kind in ordered))
        assert ingest(ParquetFiles(here), kept)["x"].type == expected


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ((pa.int64(), pa.string()), r"column 'x' is int64 in 1\.parquet and string in 2\.parquet; declare the type"),
        ((pa.null(), pa.bool_(), pa.int64()), r"'x' is bool in 2\.parquet and int64 in 3\.parquet"),
        ((pa.string(), pa.binary()), r"'x' is string in 1\.parquet and binary in 2\.parquet"),
        ((pa.timestamp("us"), pa.timestamp("us", "UTC")), r"types=\{'x': 'string'\}, or leave the column out"),
        ((pa.date32(), pa.timestamp("us")), "date32"),
    ],
)
def test_types_that_have_none_in_common_are_refused(
    here: Path, kept: Path, kinds: tuple[pa.DataType, ...], words: str
) -> None:
    _write(here, *(pa.nulls(1, kind) for kind in kinds))
    with pytest.raises(DataError, match=words):
        ingest(ParquetFiles(here), kept)


def test_a_declared_type_holds_for_every_part(here: Path, kept: Path) -> None:
    _write(here, [1, _BEYOND_FLOATS], [3.0, None], ["4", " 5 "], pa.nulls(1))
    table = ingest(ParquetFiles(here, types={"x": "int64"}), kept)
    assert table.schema == pa.schema([("x", pa.int64())])
    assert table["x"].to_pylist() == [1, _BEYOND_FLOATS, 3, None, 4, 5, None]


def test_a_value_that_the_common_type_does_not_hold_is_refused_with_the_remedy(here: Path, kept: Path) -> None:
    _write(here, [1, 2, _BEYOND_FLOATS], [3.5])
    with pytest.raises(DataError, match=r"1\.parquet, row 3: column 'x': 9007199254740993 .*types=\{'x': 'int64'\}"):
        ingest(ParquetFiles(here), kept)


def test_a_value_that_the_declared_type_does_not_hold_costs_its_row(here: Path, kept: Path) -> None:
    _write(here, [1, 2], [3.0, 3.5, None], ["x", "4"])
    source = ParquetFiles(here, types={"x": "int64"})
    source.fetch(kept, None)
    opened = source.open(kept, 10)
    assert pa.concat_tables([table for table, _ in opened.batches])["x"].to_pylist() == [1, 2, 3, None, 4]
    found = [(rows.file, unfit.rows.tolist(), unfit.values) for rows in opened.unread for unfit in rows.unfit]
    assert found == [("2.parquet", [2], [3.5]), ("3.parquet", [1], ["x"])]


def test_a_part_that_lacks_a_column_is_named_with_the_remedy(here: Path, kept: Path) -> None:
    pq.write_table(pa.table({"x": [1], "y": [2.5]}), here / "1.parquet")
    pq.write_table(pa.table({"x": ["3"]}), here / "2.parquet")
    with pytest.raises(DataError, match=r"'x' is int64 .*; 2\.parquet has no column 'y', .*types=\{'y': 'double'\}"):
        ingest(ParquetFiles(here), kept)
    assert ingest(ParquetFiles(here, types={"y": "double", "x": "int64"}), kept).to_pydict() == {
        "x": [1, 3],
        "y": [2.5, None],
    }
    assert ingest(ParquetFiles(here, columns=("x",), types={"x": "string"}), kept)["x"].to_pylist() == ["1", "3"]


@pytest.mark.parametrize(
    ("given", "declared", "expected"),
    [
        (pa.array([Decimal("1.50")]), "float64", 1.5),
        (pa.array([7]), "string", "7"),
        (pa.array([b"a"]), "string", "a"),
        (pa.array(["a"]).dictionary_encode(), "string", "a"),
        (pa.array([7]).dictionary_encode(), "float64", 7.0),
    ],
)
def test_types_can_be_declared(here: Path, kept: Path, given: pa.Array, declared: str, expected: Any) -> None:
    _write(here, given)
    assert ingest(ParquetFiles(here, types={"x": declared}), kept)["x"].to_pylist() == [expected]


def test_a_declared_type_that_cannot_be_is_refused(here: Path, kept: Path) -> None:
    _write(here, [[1]])
    with pytest.raises(SettingsError, match=r"types\['x'\] is 'number'"):
        ParquetFiles(here, types={"x": "number"})
    with pytest.raises(SettingsError, match=r"types declares \['y'\], which columns leaves out"):
        ParquetFiles(here, columns=("x",), types={"y": "int64"})
    with pytest.raises(DataError, match=r"types declares \['y'\]; 1\.parquet has columns \['x'\]"):
        ingest(ParquetFiles(here, types={"y": "int64"}), kept)
    with pytest.raises(DataError, match=r"column 'x' is list<.*>, which cannot be read as int64"):
        ingest(ParquetFiles(here, types={"x": "int64"}), kept)


def test_text_that_is_not_utf_8_is_refused_by_name(here: Path, kept: Path) -> None:
    """Arrow reads it, and pandas fails wherever the text is used first."""
    buffers = pa.array([b"a", b"\xffb"]).buffers()
    _write(here, pa.Array.from_buffers(pa.string(), 2, buffers), ["c"])
    with pytest.raises(DataError, match=r"1\.parquet, row 2: column 'x' has b'\\xffb', which is not UTF-8; .*'binary'"):
        ingest(ParquetFiles(here), kept)
    assert ingest(ParquetFiles(here, types={"x": "binary"}), kept)["x"].to_pylist() == [b"a", b"\xffb", b"c"]
