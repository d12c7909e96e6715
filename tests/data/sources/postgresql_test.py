"""Queries on a real PostgreSQL server."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import adbc_driver_postgresql.dbapi
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import commands
from support.sources import ingest, take

from athanor.data.sources.parquet import RESULT
from athanor.data.sources.sql import SqlQuery, from_environment
from athanor.errors import DataError

_VARIABLE = "ATHANOR_TEST_POSTGRESQL"
_SINCE = datetime(2013, 1, 2, tzinfo=UTC)

pytestmark = pytest.mark.skipif(
    _VARIABLE not in os.environ,
    reason="no server: build-support/postgresql/with-postgresql ./pants test tests/data:",
)


@pytest.fixture(autouse=True)
def schema(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A schema of this test's own, in which it finds its tables, for two runs may share a server."""
    url, name = os.environ[_VARIABLE], f"test_{uuid.uuid4().hex}"
    _execute(f"CREATE SCHEMA {name}", url)
    monkeypatch.setenv(_VARIABLE, f"{url}?options=-csearch_path%3D{name}")
    yield
    _execute(f"DROP SCHEMA {name} CASCADE", url)


def _execute(statement: str, url: str = "") -> None:
    """Executes a statement in the test's own schema, unless another URL is given."""
    with (
        adbc_driver_postgresql.dbapi.connect(url or os.environ[_VARIABLE], autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.fixture
def flights() -> None:
    """A table with a row a day at ten o'clock, of the first three days of 2013."""
    _execute("CREATE TABLE flights (id int, at timestamptz)")
    _execute("INSERT INTO flights SELECT n, make_timestamptz(2013, 1, n, 10, 0, 0, 'UTC') FROM generate_series(1, 3) n")


def _query(query: str, lookback: timedelta = timedelta(0)) -> SqlQuery:
    return SqlQuery(from_environment(_VARIABLE), query, lookback)


def _ids(source: SqlQuery, folder: Path, since: datetime | None) -> list[int]:
    source.fetch(folder, since)
    return take(source.open(folder, 1000))["id"].to_pylist()  # type: ignore[no-any-return]


def test_types_and_nulls_come_as_they_are(kept: Path) -> None:
    _execute(
        "CREATE TABLE t (small int, big bigint, number double precision, is_so boolean, words text, at timestamptz)"
    )
    _execute("INSERT INTO t VALUES (7, 5000000000, 0.1, true, 'it''s ä', '2013-01-01T01:00+01')")
    _execute("INSERT INTO t DEFAULT VALUES")
    table = ingest(_query("SELECT * FROM t ORDER BY small -- nulls are last\n;"), kept)
    expected = {
        "small": (pa.int32(), 7),
        "big": (pa.int64(), 5_000_000_000),
        "number": (pa.float64(), 0.1),
        "is_so": (pa.bool_(), True),
        "words": (pa.string(), "it's ä"),
        "at": (pa.timestamp("us", tz="UTC"), datetime(2013, 1, 1, tzinfo=UTC)),
    }
    assert table.schema == pa.schema({name: kind for name, (kind, _) in expected.items()})
    assert table.to_pylist() == [{name: value for name, (_, value) in expected.items()}, dict.fromkeys(expected)]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT 1.5::numeric AS x", r"column 'x' of the query has type numeric, .* cast it: x::double precision$"),
        ("SELECT sum(n) AS x FROM (SELECT 1::bigint AS n) one", "type numeric"),
        ("SELECT gen_random_uuid() AS x", r"type uuid, .* cast it: x::text$"),
        ("SELECT '1.2.3.4'::inet AS x", r"type inet, .* cast it: x::text$"),
        ("SELECT '{}'::jsonb AS x", r"type json, .* cast it: x::text$"),
        (
            "SELECT interval '1 day' AS x",
            r"a column has a type that Parquet cannot store: .*cast it to text or a number",
        ),
    ],
)
def test_a_type_that_no_column_is_made_from_is_refused_with_its_cast(kept: Path, query: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        _query(query).fetch(kept, None)


def test_a_column_cast_as_the_error_suggests_is_read(kept: Path) -> None:
    query = "SELECT 1.5::numeric::double precision AS x, '{}'::jsonb::text AS y, '1.2.3.4'::inet::text AS z"
    assert ingest(_query(query), kept).to_pylist() == [{"x": 1.5, "y": "{}", "z": "1.2.3.4/32"}]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT nope FROM pg_class", 'column "nope" does not exist'),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT 1; SELECT 2", "cannot insert multiple commands|syntax error"),
        ("SELECT 10 / (n - 200000) AS x, repeat('x', 99) AS y FROM generate_series(1, 300000) n", "division by zero"),
        ("SELECT 1 AS x, 2 AS x", "the table has duplicate columns: 'x'"),
    ],
)
def test_the_database_s_message_is_passed_on(kept: Path, query: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        _query(query).fetch(kept, None)
    assert os.environ[_VARIABLE] not in str(error.value)


@pytest.mark.usefixtures("flights")
def test_a_query_only_reads(kept: Path) -> None:
    _execute("CREATE SEQUENCE counter")
    with pytest.raises(DataError, match=r"cannot execute nextval.* in a read-only transaction"):
        _query("SELECT nextval('counter')").fetch(kept, None)
    with pytest.raises(DataError, match=r"cannot execute DELETE in a read-only transaction"):
        _query("DELETE FROM flights RETURNING id").fetch(kept, None)


@pytest.mark.usefixtures("flights")
def test_since_is_an_instant(kept: Path) -> None:
    source = _query("SELECT id FROM flights WHERE at >= :since ORDER BY id")
    assert source.is_incremental
    assert _ids(source, kept, None) == [1, 2, 3]
    assert _ids(source, kept, _SINCE) == [2, 3]
    assert _ids(source, kept, _SINCE + timedelta(hours=10)) == [2, 3]
    assert _ids(source, kept, _SINCE + timedelta(hours=10, microseconds=1)) == [3]
    assert _ids(source, kept, datetime.fromisoformat("2013-01-03T12:00:00+02:00")) == [3]


@pytest.mark.usefixtures("flights")
def test_since_may_be_cast_and_is_not_seen_in_texts_and_comments(kept: Path) -> None:
    source = _query("SELECT id, ':since' AS x FROM flights /* :since */ WHERE at::date > :since::date -- :since")
    assert _ids(source, kept, _SINCE) == [3]


@pytest.mark.usefixtures("flights")
def test_lookback_reads_late_rows(kept: Path) -> None:
    query = "SELECT id FROM flights WHERE at >= :since ORDER BY id"
    _execute("INSERT INTO flights VALUES (4, '2013-01-01T20:00Z')")
    assert _ids(_query(query), kept, _SINCE) == [2, 3]
    assert _ids(_query(query, timedelta(hours=12)), kept, _SINCE) == [2, 3, 4]


_FETCH = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from athanor.data.sources.sql import SqlQuery, from_environment
from support.memory import peak_kib
source = SqlQuery(from_environment(sys.argv[1]), sys.argv[2])
before = peak_kib()
source.fetch(Path(sys.argv[3]), datetime(2013, 1, 1, tzinfo=UTC))
print((peak_kib() - before) // 1024)
"""


def test_a_large_result_is_streamed_with_since_too(kept: Path) -> None:
    """In a separate process, to measure its peak memory. The whole result would be 600 MB."""
    query = (
        "SELECT n AS id, repeat('x', 2000) AS words, timestamptz '2013-01-02' AS at "
        "FROM generate_series(1, 300000) n WHERE timestamptz '2013-01-02' >= :since"
    )
    command = [sys.executable, "-c", _FETCH, _VARIABLE, query, str(kept)]
    done = subprocess.run(command, capture_output=True, text=True, env=commands.environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert pq.read_metadata(kept / RESULT).num_rows == 300_000
    opened = _query(query).open(kept, 50_000)
    assert [(table.num_rows, amount) for table, amount in opened.batches] == [(50_000, 50_000)] * 6
    # Batches in flight are some 350 MiB at most.
    assert int(done.stdout) < 470


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("wrong-hunter2", "password authentication failed"),
        ("hunter2%zz", "invalid percent-encoded token"),
        ("hunter2 and more", "unexpected spaces found"),
    ],
)
def test_a_wrong_password_is_reported_but_not_shown(
    kept: Path, monkeypatch: pytest.MonkeyPatch, password: str, words: str
) -> None:
    user, _, host = os.environ[_VARIABLE].partition("@")
    monkeypatch.setenv(_VARIABLE, f"{user.rpartition(':')[0]}:{password}@{host}")
    with pytest.raises(DataError, match=words) as error:
        _query("SELECT 1 AS x").fetch(kept, None)
    assert "hunter2" not in str(error.value)
    assert error.value.__suppress_context__


def test_a_password_in_the_query_of_the_url_is_not_shown(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_VARIABLE, f"{os.environ[_VARIABLE]}&password=hunter2%zz")
    with pytest.raises(DataError, match="invalid percent-encoded token") as error:
        _query("SELECT 1 AS x").fetch(kept, None)
    assert "hunter2" not in str(error.value)


def test_an_unreachable_server_is_reported(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_VARIABLE, "postgresql://me:hunter2@127.0.0.1:1/x")
    with pytest.raises(DataError, match="Connection refused") as error:
        _query("SELECT 1 AS x").fetch(kept, None)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "value",
    [
        "'infinity'::timestamptz",
        "'-infinity'::timestamp",
        "'infinity'::date",
        "'-infinity'::date",
        "'294276-12-31'::timestamptz",
    ],
)
def test_a_time_that_the_driver_wraps_is_refused(kept: Path, value: str) -> None:
    query = "SELECT n, CASE n WHEN 2 THEN $value END AS until FROM generate_series(1, 3) n"
    source = _query(query.replace("$value", value))
    with pytest.raises(DataError, match=r"column 'until' of the query has an infinite .*NULLIF\(until, 'infinity'\)"):
        source.fetch(kept, None)


def test_times_of_the_whole_calendar_come_as_they_are(kept: Path) -> None:
    first = "SELECT '0001-01-01'::date AS day, '0001-01-01 00:00Z'::timestamptz AS at"
    table = ingest(_query(first + " UNION ALL SELECT '9999-12-31', '9999-12-31 23:59:59.999999Z'"), kept)
    assert [str(value) for value in table["day"].to_pylist()] == ["0001-01-01", "9999-12-31"]
    assert [value.year for value in table["at"].to_pylist()] == [1, 9999]
