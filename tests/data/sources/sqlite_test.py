"""SQLite gives each value a type of its own: a column has one that holds all of them, wherever they stand."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.sources import ingest

from athanor.data.sources.columns.types import untyped_columns
from athanor.data.sources.sql import SqlQuery
from athanor.errors import DataError

_BEYOND_FLOATS = 2**53 + 1


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("athanor.data.sources.sqlite._BATCH_ROWS", 3)


def _query(folder: Path, values: Sequence[Any], **declared: Any) -> SqlQuery:
    path = folder / "x.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE t (x)")
        database.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
    return SqlQuery(f"sqlite:///{path}", "SELECT x FROM t", **declared)


@pytest.mark.parametrize("before", [0, 7], ids=["at once", "in a later batch"])
@pytest.mark.parametrize(
    ("first", "later", "kind", "expected"),
    [
        (None, "a", pa.string(), [None, "a"]),
        (None, 1.5, pa.float64(), [None, 1.5]),
        (None, 1, pa.int64(), [None, 1]),
        (None, b"\xff", pa.binary(), [None, b"\xff"]),
        (None, None, pa.null(), [None, None]),
        (1, 1.5, pa.float64(), [1.0, 1.5]),
        (1.5, 2, pa.float64(), [1.5, 2.0]),
        (_BEYOND_FLOATS, "abc", pa.string(), [str(_BEYOND_FLOATS), "abc"]),
        (0.1 + 0.2, "abc", pa.string(), ["0.30000000000000004", "abc"]),
        ("a", 7, pa.string(), ["a", "7"]),
        ("a\0b", None, pa.string(), ["a\0b", None]),
    ],
)
def test_a_column_has_the_type_of_all_its_values(
    tmp_path: Path, kept: Path, first: Any, later: Any, kind: pa.DataType, expected: list[Any], before: int
) -> None:
    column = ingest(_query(tmp_path, [first] * (before + 1) + [later]), kept)["x"]
    assert (column.type, column.to_pylist()) == (kind, expected[:1] * (before + 1) + expected[1:])


@pytest.mark.parametrize("before", [1, 7])
@pytest.mark.parametrize(
    ("first", "later", "words"),
    [
        ("a", b"x", r"column 'x' of the query has bytes beside other values; cast all: CAST\(x AS TEXT\)"),
        (b"x", 1, "column 'x' of the query has bytes beside other values"),
        (_BEYOND_FLOATS, 1.5, r"whole numbers beside others: .*9007199254740993.*CAST\(x AS INTEGER\)"),
    ],
)
def test_values_that_no_type_holds_are_refused(
    tmp_path: Path, kept: Path, first: Any, later: Any, words: str, before: int
) -> None:
    with pytest.raises(DataError, match=words):
        _query(tmp_path, [first] * before + [later]).fetch(kept, None)


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path, kept: Path) -> None:
    _query(tmp_path, [])
    query = SqlQuery(f"sqlite:///{tmp_path}/x.db", "SELECT CAST(x'ff41' AS TEXT) AS name")
    with pytest.raises(DataError, match="Could not decode to UTF-8 column 'name'"):
        query.fetch(kept, None)


def test_numbers_beside_texts_are_marked_as_untyped(tmp_path: Path, kept: Path) -> None:
    table = ingest(_query(tmp_path, [*range(9), "abc"]), kept)
    assert untyped_columns(table.schema) == {"x": "'abc' in row 10 of the result"}


def test_a_declared_type_costs_the_rows_of_other_values(tmp_path: Path, kept: Path) -> None:
    source = _query(tmp_path, [*range(9), "abc", " 9.5"], types={"x": "float64"})
    source.fetch(kept, None)
    opened = source.open(kept, 100)
    assert pa.concat_tables([table for table, _ in opened.batches])["x"].to_pylist() == [*map(float, range(9)), 9.5]
    ((unfit,),) = [unread.unfit for unread in opened.unread]
    assert (unfit.rows.tolist(), unfit.values) == ([10], ["abc"])
