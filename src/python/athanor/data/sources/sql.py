"""Sources in SQL databases: results are streamed as Arrow and stored as Parquet."""

import os
import re
import sqlite3
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import pyarrow as pa
import pyarrow.compute as pc

from athanor.data.sources.columns.types import read_types
from athanor.data.sources.parquet import RESULT, open_rows, write_rows
from athanor.data.sources.source import Opened
from athanor.data.sources.sqlite import write_result
from athanor.errors import DataError, NotFoundError, SettingsError
from athanor.system.url_secrets import PERCENT_ENCODE, is_ambiguous, mask_secrets

BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
"""The value of `:since` when all rows are fetched."""

_SQLITE: Final = "sqlite:///"
_POSTGRESQL: Final = "postgresql://"
_SCHEME: Final = re.compile(r"[a-z0-9+]+://")
# Strings, quoted names and comments, in which `:since` is not a parameter; and casts, which begin with a colon too.
_TOKENS: Final = re.compile(
    r"""[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | --[^\n]* | /\*.*?\*/ | ::\s*\w+ | (?P<since>:since)\b""",
    re.DOTALL | re.VERBOSE,
)
# With a query parameter the driver would buffer the whole result. With a setting of the transaction it streams.
_SETTING: Final = "athanor.since"
# The earliest day and microsecond of PostgreSQL, 4714 BC.
_EARLIEST: Final = {pa.int32(): -2_440_588, pa.int64(): -210_866_803_200_000_000}


def from_environment(variable: str) -> Callable[[], str]:
    """A function that reads a database's URL from an environment variable when rows are fetched.

    The function raises SettingsError if the variable is not set.

    >>> database = from_environment("ORDERS_DATABASE")  # declaring it reads nothing
    >>> database()
    Traceback (most recent call last):
    athanor.errors.SettingsError: the environment variable ORDERS_DATABASE is not set; set it to the database's URL
    """

    def read() -> str:
        url = os.environ.get(variable, "")
        if not url:
            raise SettingsError(f"the environment variable {variable} is not set; set it to the database's URL")
        return url

    return read


@dataclass(frozen=True)
class SqlQuery:
    """The rows of one query, on SQLite or PostgreSQL.

    Read-only: opens the SQLite file, or the PostgreSQL transaction, for reading. A column of a type that no contract
    column can hold, such as `numeric`, raises DataError with the cast to add. SQLite gives each value a type of its
    own: a column has the narrowest type that holds all of them.

    A query with `:since` is incremental. On PostgreSQL `:since` is a timestamptz. On SQLite it is text in UTC such as
    2013-05-01T17:30:00, which compares correctly with timestamps in that format, with or without fractions and Z.
    Compare other formats with `datetime(at) >= datetime(:since)`.

    Attributes:
        database: sqlite:///relative/path, sqlite:////absolute/path or postgresql://user:password@host:port/name; or a
            function that returns it when rows are fetched, such as `from_environment`. No message contains it.
        query: one SELECT, with `:since` at most once.
        lookback: subtracted from `:since`, for rows that arrive after later ones.
        types: column types by name; see `ParquetFiles`.

    Raises:
        SettingsError: the URL or the query is not valid, or `lookback` is negative or given without `:since`.

    >>> import sqlite3
    >>> with closing(sqlite3.connect("shop.db")) as database:
    ...     _ = database.executescript("CREATE TABLE orders (at TEXT, price REAL); INSERT INTO orders VALUES"
    ...         "('2013-05-01T10:00:00', 9.5), ('2013-05-02T10:00:00', NULL);")
    >>> source = SqlQuery("sqlite:///shop.db", "SELECT * FROM orders WHERE at >= :since")
    >>> source.fetch(Path("raw"), since=datetime(2013, 5, 2, tzinfo=UTC))
    >>> [table.to_pydict() for table, _ in source.open(Path("raw"), batch_rows=1000).batches]
    [{'at': ['2013-05-02T10:00:00'], 'price': [None]}]
    """

    database: str | Callable[[], str] = field(repr=False)
    query: str
    lookback: timedelta = timedelta(0)
    types: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        read_types(self.types)
        if isinstance(self.database, str):
            _require_known(self.database)
        if len(_find_since(self.query)) > 1:
            raise SettingsError(
                "the query has :since more than once; use it once: WITH given AS (SELECT :since AS since) SELECT …"
            )
        if not self.query.strip(" \t\r\n;"):
            raise SettingsError("the query is empty; write one SELECT")
        if self.lookback < timedelta(0):
            raise SettingsError(f"lookback {self.lookback} is negative, which would skip rows; use zero or more")
        if self.lookback and not self.is_incremental:
            raise SettingsError(f"lookback {self.lookback} needs :since in the query, which has none")

    @property
    def is_incremental(self) -> bool:
        return bool(_find_since(self.query))

    def fetch(self, folder: Path, since: datetime | None) -> None:
        url = self.database if isinstance(self.database, str) else self.database()
        _require_known(url)
        bound = _earlier(since, self.lookback) if self.is_incremental else None
        write = _write_sqlite if url.startswith(_SQLITE) else _write_postgresql
        write(url, self.query, bound, folder / RESULT)

    def open(self, folder: Path, batch_rows: int) -> Opened:
        return open_rows(folder, batch_rows, types=read_types(self.types))


def _require_known(url: str) -> None:
    if not url.startswith((_SQLITE, _POSTGRESQL)):
        found = _SCHEME.match(url)
        begins = f"URL begins with {found[0]}" if found else "is not a URL"
        raise SettingsError(f"the database {begins}; use sqlite:///path or postgresql://user:password@host:port/name")
    if is_ambiguous(url):
        raise SettingsError(f"the database's URL is ambiguous; {PERCENT_ENCODE}")


def _find_since(query: str) -> list[re.Match[str]]:
    return [token for token in _TOKENS.finditer(query) if token["since"]]


def _replace_since(query: str, placeholder: str) -> str:
    """The statement with a placeholder for `:since`, and a line end: the driver puts the statement in parentheses."""
    replaced = _TOKENS.sub(lambda token: placeholder if token["since"] else token[0], query)
    return replaced.rstrip(" \t\r\n;") + "\n"


def _earlier(since: datetime | None, lookback: timedelta) -> datetime:
    if since is None or since - BEGINNING < lookback:
        return BEGINNING
    return (since - lookback).astimezone(UTC)


def _write_sqlite(url: str, query: str, since: datetime | None, result: Path) -> None:
    path = Path(url.removeprefix(_SQLITE))
    if not path.is_file():
        raise NotFoundError(f"{path}: there is no such database")
    # To the second, without fraction and zone: a text sorts before the same text with either appended.
    parameters = [since.replace(tzinfo=None).isoformat(timespec="seconds")] if since else []
    with _mask_errors(url):
        write_result(path, _replace_since(query, "?"), parameters, lambda tables: write_rows(tables, result))


def _write_postgresql(url: str, query: str, since: datetime | None, result: Path) -> None:
    with _mask_errors(url), closing(_read_postgresql(url, query, since)) as tables:
        write_rows(tables, result)


def _read_postgresql(url: str, query: str, since: datetime | None) -> Generator[pa.Table]:
    with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        if since:
            cursor.execute(f"SELECT set_config('{_SETTING}', $1, true)", [since.isoformat()])
        cursor.execute(_replace_since(query, f"(current_setting('{_SETTING}')::timestamptz)"))
        for table in _tables(cursor.fetch_record_batch()):
            _require_finite(table)
            yield table


def _require_finite(table: pa.Table) -> None:
    """Raises DataError if the driver wrapped an infinite time, or one too late for Arrow, around to before all others.

    The driver adds the years from 1970 to 2000 without looking for an overflow.
    """
    for column in table.schema:
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            values = table[column.name].cast(pa.int32() if pa.types.is_date(column.type) else pa.int64())
            earliest = pc.min(values).as_py()
            if earliest is not None and earliest < _EARLIEST[values.type]:
                raise DataError(
                    f"column {column.name!r} of the query has an infinite {column.type}, or one that is too late for "
                    f"Arrow; select NULLIF({column.name}, 'infinity') or leave such rows out"
                )


def _tables(batches: pa.RecordBatchReader) -> Iterator[pa.Table]:
    schema = batches.schema.remove_metadata()
    for column in schema:
        if isinstance(column.type, pa.BaseExtensionType):
            name = getattr(column.type, "type_name", column.type.extension_name.removeprefix("arrow."))
            cast = "double precision" if name == "numeric" else "text"
            raise DataError(
                f"column {column.name!r} of the query has type {name}, which no contract column can hold; "
                f"cast it: {column.name}::{cast}"
            )
    yield schema.empty_table()
    for batch in batches:
        yield pa.Table.from_batches([batch]).replace_schema_metadata(None).cast(schema)


@contextmanager
def _mask_errors(url: str) -> Iterator[None]:
    """Raises DataError with the database's message, without its URL and password."""
    try:
        yield
    except (adbc_driver_manager.Error, sqlite3.Error, pa.ArrowException, OSError) as error:
        raise DataError(f"the database failed to run the query: {_without_secrets(str(error), url)}") from None


def _without_secrets(words: str, url: str) -> str:
    return mask_secrets(re.split(r"\n+(?:Query was|query): ", words)[0].strip(), url)
