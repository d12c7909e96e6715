"""Queries are sources: here on SQLite; what only PostgreSQL does is in postgresql_test.py."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.sources import ingest, list_names, take

from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.function import FunctionSource
from athanor.data.sources.parquet import RESULT, ParquetFiles
from athanor.data.sources.source import Source
from athanor.data.sources.sql import SqlQuery, from_environment
from athanor.errors import DataError, NotFoundError, SettingsError

_LATE = "SELECT id FROM flights WHERE at >= :since ORDER BY id"
_SINCE = datetime(2013, 1, 2, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one table; its name has what must be quoted in a URL."""
    path = tmp_path / "flights #1 50%?.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE flights (id INTEGER, carrier TEXT, distance REAL, at TEXT)")
        rows = [(number, "UA", number / 2, f"2013-01-0{number}T10:00:00Z") for number in (1, 2, 3)]
        database.executemany("INSERT INTO flights VALUES (?, ?, ?, ?)", [*rows, (4, None, None, None)])
    return path


@pytest.fixture
def insert(path: Path) -> Callable[..., None]:
    def insert(*rows: tuple[Any, ...]) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            database.executemany("INSERT INTO flights VALUES (?, ?, ?, ?)", rows)

    return insert


def _ids(source: SqlQuery, folder: Path, since: datetime | None) -> list[int]:
    source.fetch(folder, since)
    return take(source.open(folder, 1000))["id"].to_pylist()  # type: ignore[no-any-return]


def test_a_result_is_kept_as_parquet_with_types_and_nulls(path: Path, kept: Path) -> None:
    table = ingest(SqlQuery(f"sqlite:///{path}", "SELECT * FROM flights WHERE id > 2;"), kept)
    assert table.schema.types == [pa.int64(), pa.string(), pa.float64(), pa.string()]
    assert table.to_pylist() == [
        {"id": 3, "carrier": "UA", "distance": 1.5, "at": "2013-01-03T10:00:00Z"},
        {"id": 4, "carrier": None, "distance": None, "at": None},
    ]
    assert list_names(kept) == [RESULT]
    assert pq.read_metadata(kept / RESULT).row_group(0).column(0).compression == "ZSTD"


def test_a_path_may_be_relative(path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert _ids(SqlQuery(f"sqlite:///{path.name}", "SELECT id FROM flights"), kept, None) == [1, 2, 3, 4]


def test_a_result_without_rows_has_columns(path: Path, kept: Path) -> None:
    table = ingest(SqlQuery(f"sqlite:///{path}", "SELECT id FROM flights WHERE id > 9"), kept)
    assert (table.column_names, table.num_rows) == (["id"], 0)


def test_since_is_the_beginning_or_the_given_instant(path: Path, kept: Path) -> None:
    source = SqlQuery(f"sqlite:///{path}", _LATE)
    assert source.is_incremental
    assert _ids(source, kept, None) == [1, 2, 3]
    assert _ids(source, kept, _SINCE) == [2, 3]
    assert _ids(source, kept, _SINCE + timedelta(hours=10)) == [2, 3]
    assert _ids(source, kept, _SINCE + timedelta(hours=10, seconds=1)) == [3]


def test_lookback_reads_late_rows(path: Path, kept: Path, insert: Callable[..., None]) -> None:
    hasty = SqlQuery(f"sqlite:///{path}", _LATE)
    patient = SqlQuery(f"sqlite:///{path}", _LATE, lookback=timedelta(hours=12))
    insert((5, "UA", 1.0, "2013-01-01T20:00:00Z"))
    assert _ids(hasty, kept, _SINCE) == [2, 3]
    assert _ids(patient, kept, _SINCE) == [2, 3, 5]


def test_lookback_before_all_time_is_the_beginning(path: Path, kept: Path) -> None:
    source = SqlQuery(f"sqlite:///{path}", _LATE, lookback=timedelta(days=999_999))
    assert _ids(source, kept, _SINCE) == [1, 2, 3]


@pytest.mark.parametrize("at", ["2013-01-02T10:00:00.25Z", "2013-01-02T10:00:00Z", "2013-01-02T10:00:00"])
def test_texts_of_the_very_second_are_found_however_they_are_written(
    path: Path, kept: Path, insert: Callable[..., None], at: str
) -> None:
    insert((5, "UA", 1.0, at))
    source = SqlQuery(f"sqlite:///{path}", _LATE)
    assert 5 in _ids(source, kept, datetime(2013, 1, 2, 10, 0, 0, 250_000, tzinfo=UTC))


def test_since_in_another_zone_is_the_same_instant(path: Path, kept: Path) -> None:
    since = datetime.fromisoformat("2013-01-03T12:00:00+02:00")
    assert _ids(SqlQuery(f"sqlite:///{path}", _LATE), kept, since) == [3]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT ':since' AS x",
        'SELECT 1 AS ":since"',
        "SELECT 'it''s :since' AS x",
        "SELECT 1 AS x -- :since",
        "SELECT 1 /* :since\n :since */ AS x",
        "SELECT '1'::since",
        "SELECT $$ :since $$ AS x",
        "SELECT $tag$ :since $$ $tag$ AS x",
        r"SELECT E'\':since' AS x",
        "SELECT :sincere AS x",
    ],
)
def test_colons_that_are_not_parameters_are_kept(query: str) -> None:
    assert not SqlQuery("sqlite:///x.db", query).is_incremental
    assert SqlQuery("sqlite:///x.db", f"{query}\n, :since").is_incremental


def test_the_file_is_opened_for_reading_only(path: Path, kept: Path) -> None:
    with pytest.raises(DataError, match="attempt to write a readonly database"):
        SqlQuery(f"sqlite:///{path}", "DELETE FROM flights RETURNING id").fetch(kept, None)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT nope FROM flights", "no such column: nope$"),
        ("SELEC 1", 'near "SELEC": syntax error$'),
        ("SELECT id, id FROM flights", "the table has duplicate columns: 'id'"),
    ],
)
def test_the_database_s_message_is_passed_on(path: Path, kept: Path, query: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        SqlQuery(f"sqlite:///{path}", query).fetch(kept, None)
    assert str(path) not in str(error.value)


def test_an_absent_database_is_named_and_not_made(tmp_path: Path, kept: Path) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.db: there is no such database"):
        SqlQuery(f"sqlite:///{tmp_path}/gone.db", "SELECT 1").fetch(kept, None)
    assert not (tmp_path / "gone.db").exists()


def test_a_file_that_is_not_a_database_is_refused(tmp_path: Path, kept: Path) -> None:
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at " * 10)
    with pytest.raises(DataError, match="file is not a database"):
        SqlQuery(f"sqlite:///{tmp_path}/text.db", "SELECT 1").fetch(kept, None)


def test_the_database_may_come_from_the_environment(path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SqlQuery(from_environment("FLIGHTS_DATABASE"), "SELECT id FROM flights")
    with pytest.raises(SettingsError, match="the environment variable FLIGHTS_DATABASE is not set"):
        source.fetch(kept, None)
    monkeypatch.setenv("FLIGHTS_DATABASE", "mysql://me:hunter2@host/x")
    with pytest.raises(SettingsError, match="the database URL begins with mysql://; use sqlite:///path or") as error:
        source.fetch(kept, None)
    assert "hunter2" not in str(error.value)
    monkeypatch.setenv("FLIGHTS_DATABASE", f"sqlite:///{path}")
    assert _ids(source, kept, None) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"database": "mysql://me:hunter2@host/x"}, "begins with mysql://"),
        ({"database": "host=x password=hunter2"}, "the database is not a URL; use sqlite:///path or postgresql://"),
        ({"query": " ;\n"}, "the query is empty"),
        ({"query": "SELECT :since, :since"}, r"has :since more than once; use it once: WITH given AS \(SELECT :since"),
        ({"query": "SELECT :since", "lookback": timedelta(-1)}, "lookback -1 day.* is negative"),
        ({"lookback": timedelta(1)}, "lookback 1 day.* needs :since in the query, which has none"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_once(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as error:
        SqlQuery(**{"database": "sqlite:///x.db", "query": "SELECT 1", **settings})
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("character", "/?#@")
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(character: str) -> None:
    with pytest.raises(SettingsError, match="the database's URL is ambiguous; percent-encode the user") as error:
        SqlQuery(f"postgresql://me:hunt{character}er2@host/x", "SELECT 1")
    assert "hunt" not in str(error.value)


def _read_by(password: str) -> list[pa.Table]:
    return [pa.table({"password": [password]})]


@pytest.mark.parametrize(
    "source",
    [
        SqlQuery("postgresql://me:hunter2@host/x", "SELECT 1"),
        DelimitedFiles("s3://key:hunter2@bucket/a.csv"),
        ParquetFiles("https://host/a.parquet?sig=hunter2"),
        FunctionSource(partial(_read_by, "hunter2")),
    ],
)
def test_a_source_does_not_show_its_secrets(source: Source) -> None:
    assert "hunter2" not in f"{source!r} {source} {[source]}"


def test_instants_that_are_written_otherwise_are_compared_by_datetime(
    path: Path, kept: Path, insert: Callable[..., None]
) -> None:
    insert((5, "UA", 1.0, "2013-01-02 20:00:00"), (6, "UA", 1.0, "2013-01-02 16:00:00"))
    query = "SELECT id FROM flights WHERE datetime(at) >= datetime(:since) ORDER BY id"
    source = SqlQuery(f"sqlite:///{path}", query)
    assert _ids(source, kept, datetime(2013, 1, 2, 17, 30, tzinfo=UTC)) == [3, 5]
