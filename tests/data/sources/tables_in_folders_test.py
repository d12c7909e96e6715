"""A folder that is a table with a log is read by it, or refused: never with files that the log has superseded."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from support.sources import ingest, write

from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.parquet import ParquetFiles
from athanor.errors import DataError


def _tuples(table: pa.Table) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in table.to_pylist()]


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
    for name in ("day=1/a.parquet", "b.parquet"):
        write(here / "table" / "data" / name, b"")
    write(here / "table" / mark, b"{}")
    with pytest.raises(DataError, match=rf"table is {words}: its log .* is not read here; write its current rows"):
        ingest(ParquetFiles(here / location), kept)
