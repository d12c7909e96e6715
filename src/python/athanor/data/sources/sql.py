"""Sources in SQL databases. Results come as Arrow, are streamed, and are kept as Parquet."""

import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import adbc_driver_sqlite.dbapi
import pyarrow as pa

from athanor.data.sources.parquet import RESULT, open_rows, write_rows
from athanor.data.sources.source import Opened
from athanor.errors import DataError, NotFoundError, SettingsError

BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
"""What `:since` is where all rows are wanted."""

_SQLITE: Final = "sqlite:///"
_POSTGRESQL: Final = "postgresql://"
_URL: Final = re.compile(
    r"(?P<scheme>[a-z0-9+]+)://(?:[^:@/]*(?::(?P<password>.*))?@)?(?P<rest>[^?]*)(?:\?.*)?", re.DOTALL
)
# Texts, names and comments, in which `:since` is no parameter; and casts, which begin with a colon too.
_TOKENS: Final = re.compile(
    r"""[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | --[^\n]* | /\*.*?\*/ | ::\s*\w+ | (?P<since>:since)\b""",
    re.DOTALL | re.VERBOSE,
)
# A parameter of the query itself would make the driver hold the whole result. A setting of the transaction does not.
_SETTING: Final = "athanor.since"
# SQLite has no types of columns that bind: the driver tells them from the first rows.
_SQLITE_ROWS: Final = {"adbc.sqlite.query.batch_rows": "65536"}


def from_environment(variable: str) -> Callable[[], str]:
    """A database's URL that is read from the environment, when it is needed.

    The function raises SettingsError if the variable is not set.
    """

    def read() -> str:
        url = os.environ.get(variable, "")
        if not url:
            raise SettingsError(f"the environment variable {variable} is not set; it holds the database's URL")
        return url

    return read


@dataclass(frozen=True)
class SqlQuery:
    """The rows of one query.

    The query only reads: on SQLite the file is opened so, on PostgreSQL the transaction. Its columns have types that a
    contract's columns can be made from; others, `numeric` among them, are refused with the cast to write.

    A query with `:since` is incremental. For PostgreSQL that is a timestamptz; for SQLite a text such as
    2013-05-01T17:30:00, in UTC, which compares rightly with such texts, with or without fractions and Z. What is
    written otherwise is compared by `datetime(at) >= datetime(:since)`.

    Attributes:
        database: sqlite:///relative/path, sqlite:////absolute/path or postgresql://user:password@host:port/name; or a
            function that gives it when rows are fetched, such as `from_environment`. It occurs in no message.
        query: one SELECT, with `:since` at most once.
        lookback: `:since` is that much earlier than asked, for rows that come late.
    """

    database: str | Callable[[], str] = field(repr=False)
    query: str
    lookback: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        if isinstance(self.database, str):
            _require_known(self.database)
        if len(_find_since(self.query)) > 1:
            raise SettingsError(
                "the query has :since more than once; name it: WITH given AS (SELECT :since AS since) SELECT …"
            )
        if not self.query.strip(" \t\r\n;"):
            raise SettingsError("the query is empty; write one SELECT")
        if self.lookback < timedelta(0):
            raise SettingsError(f"lookback {self.lookback} is negative; rows in between would never be read")
        if self.lookback and not self.is_incremental:
            raise SettingsError(f"lookback {self.lookback} is for queries with :since, and this has none")

    @property
    def is_incremental(self) -> bool:
        return bool(_find_since(self.query))

    def fetch(self, folder: Path, since: datetime | None) -> None:
        url = self.database if isinstance(self.database, str) else self.database()
        _require_known(url)
        bound = _earlier(since, self.lookback) if self.is_incremental else None
        read = _read_sqlite if url.startswith(_SQLITE) else _read_postgresql
        with closing(_mask_errors(read(url, self.query, bound), url)) as tables:
            write_rows(tables, folder / RESULT)

    def open(self, folder: Path, batch_rows: int) -> Opened:
        return Opened(*open_rows(folder, batch_rows))


def _require_known(url: str) -> None:
    if not url.startswith((_SQLITE, _POSTGRESQL)):
        found = _URL.fullmatch(url)
        begins = f"begins with {found['scheme']}://" if found else "is no URL"
        raise SettingsError(f"the database {begins}; use sqlite:///path or postgresql://user:password@host:port/name")


def _find_since(query: str) -> list[re.Match[str]]:
    return [token for token in _TOKENS.finditer(query) if token["since"]]


def _replace_since(query: str, placeholder: str) -> str:
    """One statement with another word for `:since`, on lines of its own, for the driver puts it in parentheses."""
    replaced = _TOKENS.sub(lambda token: placeholder if token["since"] else token[0], query)
    return replaced.rstrip(" \t\r\n;") + "\n"


def _earlier(since: datetime | None, lookback: timedelta) -> datetime:
    if since is None or since - BEGINNING < lookback:
        return BEGINNING
    return (since - lookback).astimezone(UTC)


def _read_sqlite(url: str, query: str, since: datetime | None) -> Iterator[pa.Table]:
    path = Path(url.removeprefix(_SQLITE))
    if not path.is_file():
        raise NotFoundError(f"{path}: there is no such database")
    # To the second, without fraction and zone: of two texts that differ in these only, the shorter comes first.
    parameters = since and [since.replace(tzinfo=None).isoformat(timespec="seconds")]
    with (
        adbc_driver_sqlite.dbapi.connect(f"file:{quote(str(path))}?mode=ro") as connection,
        connection.cursor() as cursor,
    ):
        cursor.adbc_statement.set_options(**_SQLITE_ROWS)
        cursor.execute(_replace_since(query, "?"), parameters)
        yield from _tables(cursor.fetch_record_batch())


def _read_postgresql(url: str, query: str, since: datetime | None) -> Iterator[pa.Table]:
    with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        if since:
            cursor.execute(f"SELECT set_config('{_SETTING}', $1, true)", [since.isoformat()])
        cursor.execute(_replace_since(query, f"(current_setting('{_SETTING}')::timestamptz)"))
        yield from _tables(cursor.fetch_record_batch())


def _tables(batches: pa.RecordBatchReader) -> Iterator[pa.Table]:
    schema = batches.schema.remove_metadata()
    for column in schema:
        if isinstance(column.type, pa.BaseExtensionType):
            name = getattr(column.type, "type_name", column.type.extension_name.removeprefix("arrow."))
            cast = "double precision" if name == "numeric" else "text"
            raise DataError(
                f"column {column.name!r} of the query has type {name}, which no column of a contract is made from; "
                f"cast it: {column.name}::{cast}"
            )
    yield schema.empty_table()
    for batch in batches:
        yield pa.Table.from_batches([batch]).replace_schema_metadata(None).cast(schema)


def _mask_errors(tables: Iterator[pa.Table], url: str) -> Generator[pa.Table]:
    """The same tables; what the database says goes into a DataError, its address and secrets do not."""
    try:
        yield from tables
    except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        raise DataError(f"the database did not answer the query: {_without_secrets(str(error), url)}") from None


def _without_secrets(words: str, url: str) -> str:
    words = re.split(r"\n+(?:Query was|query): ", words)[0].replace(url, "the database's URL").strip()
    found = _URL.fullmatch(url)
    given = [found["password"] if found else None, *re.findall(r"password=([^&]*)", url)]
    secrets = {secret for password in given if password for secret in (password, unquote(password))}
    for secret in sorted(secrets, key=len, reverse=True):
        words = words.replace(secret, "***")
    return words
