"""A folder's table is read as its writer meant it: with the columns in folders' names, and by its log, or refused."""

import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from support.sources import ingest, list_names, write

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


@pytest.fixture
def delta(here: Path) -> Path:
    """A Delta table with superseded files: overwritten, appended to with a further column, and with a row deleted."""
    folder = here / "delta"
    rows = pa.table({"id": [1, 2, 3], "k": ["a b/ä", "x=y", None]})
    write_deltalake(folder, rows, partition_by=["k"])
    write_deltalake(folder, rows, mode="overwrite")
    more = pa.table({"id": [4, 5], "k": ["50%", "50%"], "at": pa.array([_AT, _AT], pa.timestamp("us", "UTC"))})
    write_deltalake(folder, more, mode="append", schema_mode="merge")
    DeltaTable(folder).delete("id = 5")
    return folder


_AT = datetime.fromisoformat("9999-12-31T00:00:00+00:00")
_DELTA = [(1, "a b/ä", None), (2, "x=y", None), (3, None, None), (4, "50%", _AT)]


def test_a_delta_table_is_read_by_its_log(delta: Path, kept: Path) -> None:
    assert len(list(delta.rglob("*.parquet"))) > 4
    assert sorted(_tuples(ingest(ParquetFiles(delta), kept))) == _DELTA
    assert len(list(kept.rglob("*.parquet"))) == 4


def test_a_delta_table_is_read_after_a_checkpoint(delta: Path, kept: Path) -> None:
    DeltaTable(delta).create_checkpoint()
    for line in (delta / "_delta_log").glob("*.json"):
        line.unlink()
    DeltaTable(delta)
    assert sorted(_tuples(ingest(ParquetFiles(delta), kept))) == _DELTA


def test_some_columns_of_a_delta_table_can_be_read(delta: Path, kept: Path) -> None:
    assert sorted(_tuples(ingest(ParquetFiles(delta, columns=("at", "id")), kept)), key=lambda row: row[1])[3] == (
        _AT,
        4,
    )
    with pytest.raises(DataError, match=r"columns names \['x'\]; .* has columns \['id', 'k', 'at'\]"):
        ParquetFiles(delta, columns=("x",)).open(kept, 10)


def test_an_empty_delta_table_has_columns(here: Path, kept: Path) -> None:
    write_deltalake(here / "delta", pa.table({"id": [1]}))
    DeltaTable(here / "delta").delete()
    table = ingest(ParquetFiles(here / "delta"), kept)
    assert (table.num_rows, table.schema) == (0, pa.schema([("id", pa.int64())]))


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/athanor", recursive=True)


def test_a_delta_table_at_a_url_is_read_by_its_log(delta: Path, kept: Path, memory: Any) -> None:
    memory.put(str(delta), "/athanor/delta", recursive=True)
    assert sorted(_tuples(ingest(ParquetFiles("memory://athanor/delta"), kept))) == _DELTA


def test_instants_of_96_bits_in_a_delta_table_are_instants_in_utc(here: Path, kept: Path) -> None:
    write_deltalake(here / "delta", pa.table({"at": pa.array([_AT], pa.timestamp("us", "UTC"))}))
    (file,) = (here / "delta").glob("*.parquet")
    naive = pa.array([_AT.replace(tzinfo=None)], pa.timestamp("us"))
    pq.write_table(pa.table({"at": naive}), file, use_deprecated_int96_timestamps=True)
    assert ingest(ParquetFiles(here / "delta"), kept)["at"].to_pylist() == [_AT]


def _rewrite_log(delta: Path, kind: str, **changed: Any) -> None:
    """Changes an action in the first line of the log that has one of its kind."""
    for path in sorted((delta / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        for action in actions:
            if kind in action:
                action[kind].update(changed)
                path.write_text("\n".join(map(json.dumps, actions)))
                return


_FEATURES = {"minReaderVersion": 3, "minWriterVersion": 7, "writerFeatures": ["deletionVectors"]}


@pytest.mark.parametrize(
    ("kind", "changed", "words"),
    [
        ("protocol", {**_FEATURES, "readerFeatures": ["deletionVectors"]}, "uses deletionVectors.*; write its rows to"),
        ("metaData", {"configuration": {"delta.columnMapping.mode": "name"}}, "uses columnMapping"),
        ("add", {"path": "s3://other/a.parquet"}, "log names s3://other/a.parquet, a file of another table"),
        ("add", {"path": "gone.parquet"}, "cannot be copied: .*gone"),
    ],
)
def test_a_delta_table_that_needs_more_than_its_files_is_refused(
    here: Path, kept: Path, kind: str, changed: dict[str, Any], words: str
) -> None:
    write_deltalake(here / "delta", pa.table({"id": [1]}))
    _rewrite_log(here / "delta", kind, **changed)
    with pytest.raises(DataError, match=f"(?s){words}"):
        ingest(ParquetFiles(here / "delta"), kept)


def test_a_damaged_log_is_refused(delta: Path, kept: Path) -> None:
    for line in (delta / "_delta_log").glob("*.json"):
        line.write_bytes(b"{")
    with pytest.raises(DataError, match="the log of the Delta table cannot be read"):
        ingest(ParquetFiles(delta), kept)


@pytest.mark.parametrize("location", ["", "delta/**/*.parquet", "*/k=*/*.parquet", "delta/k=x%3Dy", "**/*.parquet"])
def test_a_part_of_a_delta_table_or_a_folder_of_tables_is_refused(
    here: Path, delta: Path, kept: Path, location: str
) -> None:
    with pytest.raises(DataError, match=r"delta is a Delta table: .* read it by ParquetFiles with the path of exactly"):
        ingest(ParquetFiles(here / location), kept)
    assert delta.is_dir()


def test_a_delta_table_is_not_delimited_text(delta: Path, kept: Path) -> None:
    with pytest.raises(DataError, match=r"delta is a Delta table: .* read it by ParquetFiles"):
        ingest(DelimitedFiles(delta), kept)


@pytest.mark.parametrize("location", ["", "table", "table/data", "table/data/*.parquet", "table/data/day=1"])
@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("metadata/00000-4f.metadata.json", "an Iceberg table"),
        (".hoodie/hoodie.properties", "a Hudi table"),
        ("_spark_metadata/0", "the output of a Spark stream"),
    ],
)
def test_a_table_whose_log_is_not_read_is_refused(here: Path, kept: Path, mark: str, words: str, location: str) -> None:
    _parquet(here / "table" / "data" / "day=1" / "a.parquet", id=[1])
    _parquet(here / "table" / "data" / "b.parquet", id=[1])
    write(here / "table" / mark, b"{}")
    with pytest.raises(DataError, match=rf"table is {words}: its log .* is not read here; write its current rows"):
        ingest(ParquetFiles(here / location), kept)
