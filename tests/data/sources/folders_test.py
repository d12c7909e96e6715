"""Folders named `year=2012` hold a column, as Hive, Spark and others write them."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.sources import ingest, list_names, take, write, write_zip

from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.parquet import ParquetFiles
from athanor.errors import DataError


def _parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def _hive(here: Path) -> None:
    """As Spark writes a table, beside what it leaves behind."""
    _parquet(here / "year=2012" / "month=07" / "part-0.parquet", id=[1, 2])
    _parquet(here / "year=2013" / "month=12" / "part-0.parquet", id=[3])
    _parquet(here / "year=__HIVE_DEFAULT_PARTITION__" / "month=01" / "part-0.parquet", id=[4])
    _parquet(here / "_temporary" / "0" / "year=2012" / "month=07" / "part-1.parquet", id=[99])
    write(here / "_SUCCESS", b"")
    write(here / "year=2012" / "month=07" / ".part-0.parquet.crc", b"crc")


_HIVE = [(1, 2012, 7), (2, 2012, 7), (3, 2013, 12), (4, None, 1)]


def _tuples(table: pa.Table) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in table.to_pylist()]


def test_folders_names_are_columns(here: Path, kept: Path) -> None:
    _hive(here)
    table = ingest(ParquetFiles(here), kept)
    assert table.schema == pa.schema([("id", pa.int64()), ("year", pa.int64()), ("month", pa.int64())])
    assert sorted(_tuples(table)) == _HIVE
    assert len(list_names(kept)) == 3


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("year=2012", _HIVE[:2]),
        ("year=2012/month=07/part-0.parquet", _HIVE[:2]),
        ("year=201*/*/*.parquet", _HIVE[:3]),
        ("year=2013/**/*.parquet", _HIVE[2:3]),
    ],
)
def test_a_part_of_a_partitioned_table_has_all_its_columns(
    here: Path, kept: Path, location: str, expected: list[Any]
) -> None:
    _hive(here)
    assert _tuples(ingest(ParquetFiles(here / location), kept)) == expected


def test_a_column_of_folders_names_can_be_read_alone(here: Path, kept: Path) -> None:
    _hive(here)
    table = ingest(ParquetFiles(here / "year=201*" / "**" / "*.parquet", columns=("year",)), kept)
    assert table.to_pydict() == {"year": [2012, 2012, 2013]}


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["day=2012-01-31", "day=2013-02-28"], [date(2012, 1, 31), date(2013, 2, 28)]),
        (["k=1", "k=1.5"], [1.0, 1.5]),
        (["k=1", "k=x"], ["1", "x"]),
        (["k=a%20b%2Fc%3D%25", "k=ä"], ["a b/c=%", "ä"]),
        (["k=%22q%22%2C%0A", "k=NA"], ['"q",\n', "NA"]),
        (["a%20k=1", "a%20k=2"], [1, 2]),
        (["_k=1", "_k=2"], [1, 2]),
        (["k=a=b", "k=__HIVE_DEFAULT_PARTITION__"], ["a=b", None]),
        (["k=2012-01-01 10%3A30%3A00"], [datetime.fromisoformat("2012-01-01T10:30")]),
    ],
)
def test_values_in_folders_names_have_one_type(here: Path, kept: Path, folders: list[str], expected: list[Any]) -> None:
    for number, folder in enumerate(folders):
        _parquet(here / folder / f"{number}.parquet", id=[number])
    rows = dict(_tuples(ingest(ParquetFiles(here), kept)))
    assert [rows[number] for number in range(len(folders))] == expected


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["year=2012/a.parquet", "b.parquet"], r"the folders of year=2012/a\.parquet name the columns \['year'\]"),
        (["year=1/a.parquet", "month=1/b.parquet"], r"the folders of year=1/a\.parquet .* \['month'\]; keep files of"),
        (["year=/a.parquet"], r"year=/a\.parquet: the folder 'year=' has no value"),
        (["k=1/k=2/a.parquet"], r"the folder 'k=2' .* names a column again"),
    ],
)
def test_folders_that_name_no_table_are_refused(here: Path, kept: Path, names: list[str], words: str) -> None:
    for name in names:
        _parquet(here / name, id=[1])
    with pytest.raises(DataError, match=words):
        ingest(ParquetFiles(here), kept)


def test_a_column_in_the_file_and_in_its_folders_name_must_agree(here: Path, kept: Path) -> None:
    _parquet(here / "year=2012" / "a.parquet", year=pa.array([2012, 2012], pa.int32()), id=[1, 2])
    assert _tuples(ingest(ParquetFiles(here), kept)) == [(2012, 1), (2012, 2)]
    _parquet(here / "year=2013" / "a.parquet", year=pa.array([2013, 2012], pa.int32()), id=[1, 2])
    with pytest.raises(DataError, match=r"year=2013/a\.parquet: column 'year' in the file is not 2013 in all rows"):
        ingest(ParquetFiles(here), kept)


def test_a_declared_type_keeps_leading_zeros_of_folders_names(here: Path, kept: Path) -> None:
    _hive(here)
    table = ingest(ParquetFiles(here / "year=2012", types={"month": "string", "year": "float64"}), kept)
    assert _tuples(table) == [(1, 2012.0, "07"), (2, 2012.0, "07")]
    with pytest.raises(DataError, match=r"folders' names have a value of 'month' .*'07'"):
        ParquetFiles(here, types={"month": "date32"}).open(kept, 10)


def test_folders_names_are_columns_of_delimited_text(here: Path, kept: Path) -> None:
    write(here / "year=2012" / "zip=07001" / "a.csv", b"id,x\n1,a\n2,b\n")
    write_zip(here / "b.zip", {"year=__HIVE_DEFAULT_PARTITION__/zip=1/b.csv": b"id,x\n3,7\n"})
    source = DelimitedFiles(here, types={"zip": "string"})
    assert _tuples(ingest(source, kept)) == [(3, "7", None, "1"), (1, "a", 2012, "07001"), (2, "b", 2012, "07001")]
    assert _tuples(take(DelimitedFiles(here, columns=("zip", "id")).open(kept, 10))) == [(1, 3), (7001, 1), (7001, 2)]
    assert _tuples(take(DelimitedFiles(here, columns=("year",)).open(kept, 10))) == [(None,), (2012,), (2012,)]
    with pytest.raises(DataError, match=r"columns names \['y'\]"):
        DelimitedFiles(here, columns=("y",)).open(kept, 10)


def test_rows_that_do_not_fit_are_left_out_beside_columns_of_folders_names(here: Path, kept: Path) -> None:
    write(here / "year=2012" / "a.csv", b"id\n1\nx\n")
    source = DelimitedFiles(here, types={"id": "int64"})
    source.fetch(kept, None)
    opened = source.open(kept, 10)
    assert [row for table, _ in opened.batches for row in _tuples(table)] == [(1, 2012)]
    assert [unread.file for unread in opened.unread] == ["year=2012/a.csv"]


def test_a_column_in_the_text_and_in_its_folders_name_must_agree(here: Path, kept: Path) -> None:
    write(here / "year=2012" / "a.csv", b"id,year\n1,2012\n")
    assert _tuples(ingest(DelimitedFiles(here), kept)) == [(1, 2012)]
    write(here / "year=2013" / "a.csv", b"id,year\n1,2012\n")
    with pytest.raises(DataError, match=r"year=2013/a\.csv: column 'year' in the file is not 2013 in all rows"):
        ingest(DelimitedFiles(here), kept)
