"""Functions of a project's own are sources."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from support.sources import ingest

from athanor.data.sources.function import FunctionSource
from athanor.errors import DataError, SettingsError

_NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def test_a_function_gives_tables_of_any_kind(kept: Path) -> None:
    def read() -> Iterable[Any]:
        yield pd.DataFrame({"id": [1, 2], "name": ["a", None]})
        yield pa.table({"id": [3], "name": ["c"]})
        yield pa.RecordBatch.from_pydict({"id": [4], "name": pa.array([None], pa.null())})

    source = FunctionSource(read)
    assert not source.is_incremental
    assert ingest(source, kept).to_pydict() == {"id": [1, 2, 3, 4], "name": ["a", None, "c", None]}


def test_a_function_with_since_is_incremental_and_gets_it(kept: Path) -> None:
    given_: list[datetime | None] = []

    def read(since: datetime | None) -> Iterable[pa.Table]:
        given_.append(since)
        return [pa.table({"id": [1]})]

    source = FunctionSource(read)
    assert source.is_incremental
    since = datetime(2013, 1, 1, tzinfo=UTC)
    source.fetch(kept, None)
    source.fetch(kept, since)
    assert given_ == [None, since]


def test_the_same_rows_make_the_same_bytes_however_they_were_cut(tmp_path: Path) -> None:
    whole = pa.table({"id": range(300_000), "name": [f"name {number % 1000}" for number in range(300_000)]})
    contents = set()
    for rows in (300_000, 100_000, 7_777):
        folder = tmp_path / str(rows)
        folder.mkdir()
        FunctionSource(lambda rows=rows: whole.to_batches(max_chunksize=rows)).fetch(folder, None)
        contents.add((folder / "result.parquet").read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([], "the source returned no table; if there are no rows, return an empty table"),
        (pd.DataFrame({"id": [1]}), "returned a str; return an iterable, such as a list, of pandas frames"),
        ([{"id": 1}], "returned a dict"),
        (
            [pd.DataFrame({"id": [1, 2, "x"]})],
            r"table 1 .* stored: column 'id' has 'x' of type str in row 3 beside 1 of type int; .*types=\{'id'",
        ),
        (
            [pd.DataFrame({"at": [datetime(2013, 1, 1, tzinfo=UTC), "noon"]})],
            "column 'at' has 'noon' of type str in row 2 beside 2013-01-01 00:00:00",
        ),
        ([pd.DataFrame({"id": [1, 2**80]})], "column 'id': "),
        ([pa.table([[1], [2]], names=["id", "id"])], "the table has duplicate columns: 'id'"),
        (
            [pa.table({"id": [1]}), pa.table({"key": [1]})],
            "table 2 .* the first has id: int64, this one has key: int64",
        ),
        ([pa.table({"id": [1]}), pa.table({"id": ["x"]})], "table 2 from the source's function does not fit the first"),
    ],
)
def test_invalid_tables_from_a_function_are_refused(kept: Path, tables: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        FunctionSource(lambda: tables).fetch(kept, None)


def test_a_type_that_parquet_does_not_know_is_refused(kept: Path) -> None:
    interval = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    with pytest.raises(
        DataError, match=r"a column has a type that Parquet cannot store: .*cast it to text or a number"
    ):
        FunctionSource(lambda: [pa.table({"wait": interval})]).fetch(kept, None)


def test_declared_columns_of_objects_are_read_value_by_value(kept: Path) -> None:
    frame = pd.DataFrame(
        {
            "size": pd.Series([1, 2.5, "x", None, Decimal("4.0")], dtype=object),
            "at": pd.Series([_NOON, str(_NOON), _NOON.replace(tzinfo=None), None, pd.Timestamp(_NOON)], dtype=object),
        }
    )
    parts = [frame.iloc[:2], frame.iloc[2:]]
    source = FunctionSource(lambda: parts, types={"size": "float64", "at": "timestamp[us, tz=UTC]"})
    source.fetch(kept, None)
    opened = source.open(kept, 10)
    assert pa.concat_tables([table for table, _ in opened.batches]).to_pydict() == {
        "size": [1.0, 2.5, None, 4.0],
        "at": [_NOON, _NOON, None, _NOON],
    }
    (unread,) = opened.unread
    found = [(unfit.column, unfit.rows.tolist(), unfit.values) for unfit in unread.unfit]
    assert found == [("size", [3], ["x"]), ("at", [3], ["2013-01-01 12:00:00"])]


def test_categories_may_differ_from_table_to_table(kept: Path) -> None:
    parts = [
        pd.DataFrame({"x": pd.Categorical(values)}) for values in (["a"], ["b", None], [f"{n}" for n in range(300)])
    ]
    assert ingest(FunctionSource(lambda: parts), kept)["x"].to_pylist()[:4] == ["a", "b", None, "0"]


def test_an_error_of_the_function_is_its_own(kept: Path) -> None:
    def read() -> Iterable[pa.Table]:
        yield pa.table({"id": [1]})
        raise LookupError("no such endpoint")

    with pytest.raises(LookupError, match="no such endpoint"):
        FunctionSource(read).fetch(kept, None)


def test_a_function_source_needs_a_function() -> None:
    with pytest.raises(SettingsError, match="needs a function, not 'read'"):
        FunctionSource("read")  # type: ignore[arg-type]
