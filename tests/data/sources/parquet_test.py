"""Parquet files are streamed as one table, if they are of one schema."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.sources import ingest, write

from athanor.data.sources.parquet import ParquetFiles, write_rows
from athanor.errors import DataError


def _parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=100)
    return path


def test_a_full_disk_is_an_error_of_the_file() -> None:
    with pytest.raises(OSError, match="No space left on device") as error:
        write_rows([pa.table({"x": [1]})], Path("/dev/full"))
    assert error.value.filename == "/dev/full"


def test_parquet_files_are_one_table_in_the_order_of_their_names(here: Path, kept: Path) -> None:
    _parquet(here / "b.parquet", id=range(250, 400))
    _parquet(here / "a.parquet", id=range(250))
    source = ParquetFiles(here)
    assert ingest(source, kept)["id"].to_pylist() == list(range(400))
    opened = source.open(kept, 150)
    assert opened.size == 400
    assert [(table.num_rows, amount) for table, amount in opened.batches] == [(150, 150), (150, 150), (100, 100)]


def test_parquet_comes_from_urls_and_globs_too(here: Path, kept: Path) -> None:
    _parquet(here / "a.parquet", id=[1, 2])
    assert ingest(ParquetFiles(f"file://{here}/*.parquet"), kept)["id"].to_pylist() == [1, 2]


def test_parquet_without_rows_has_columns(here: Path, kept: Path) -> None:
    table = ingest(ParquetFiles(_parquet(here / "a.parquet", id=pa.array([], pa.int64()))), kept)
    assert (table.schema, table.num_rows) == (pa.schema([("id", pa.int64())]), 0)


def test_pandas_metadata_makes_no_difference(here: Path, kept: Path) -> None:
    pd.DataFrame({"id": [1]}).to_parquet(here / "a.parquet")
    _parquet(here / "b.parquet", id=[2])
    assert ingest(ParquetFiles(here), kept)["id"].to_pylist() == [1, 2]


def test_a_file_that_is_not_parquet_is_refused(here: Path, kept: Path) -> None:
    with pytest.raises(DataError, match=r"a\.parquet is not a Parquet file"):
        ingest(ParquetFiles(write(here / "a.parquet", b"nothing")), kept)


def test_damaged_parquet_is_refused(here: Path, kept: Path) -> None:
    path = _parquet(here / "a.parquet", id=range(1000))
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 400 + content[404:])
    with pytest.raises(DataError, match=r"a\.parquet cannot be read"):
        ingest(ParquetFiles(path), kept)


def test_some_columns_can_be_read_alone(here: Path, kept: Path) -> None:
    _parquet(here / "a.parquet", id=[1, 2], name=["x", "y"], size=[3, 4])
    assert ingest(ParquetFiles(here, columns=("size", "id")), kept).to_pydict() == {"size": [3, 4], "id": [1, 2]}


def test_columns_that_are_not_there_are_named(here: Path, kept: Path) -> None:
    _parquet(here / "a.parquet", id=[1])
    with pytest.raises(DataError, match=r"columns names \['size'\]; a\.parquet has columns \['id'\]"):
        ingest(ParquetFiles(here, columns=("size",)), kept)
