"""Tables that a function of the project returns."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

from athanor.data.sources.parquet import RESULT, open_rows, write_rows
from athanor.data.sources.source import Opened
from athanor.errors import DataError, SettingsError

Rows: TypeAlias = pa.Table | pa.RecordBatch | pd.DataFrame


@dataclass(frozen=True)
class FunctionSource:
    """Rows from a function of the project: an API client, a parser, a generator of test data.

    Attributes:
        read: returns an iterable of pandas frames, pyarrow tables or record batches, all with the same columns. If it
            has a parameter `since`, the source is incremental: `since` is the event time, in UTC, of the first rows to
            return, or None for all.

    Raises:
        SettingsError: `read` is not callable.

    >>> def read(since: datetime | None):
    ...     yield pd.DataFrame({"sensor": ["a", "b"], "level": [1.5, None]})
    >>> source = FunctionSource(read)
    >>> source.is_incremental
    True
    >>> source.fetch(Path("raw"), since=None)
    >>> [table.to_pydict() for table, _ in source.open(Path("raw"), batch_rows=1000).batches]
    [{'sensor': ['a', 'b'], 'level': [1.5, None]}]
    """

    read: Callable[..., Iterable[Rows]]

    def __post_init__(self) -> None:
        if not callable(self.read):
            raise SettingsError(f"FunctionSource needs a function, not {self.read!r}")

    @property
    def is_incremental(self) -> bool:
        return "since" in inspect.signature(self.read).parameters

    def fetch(self, folder: Path, since: datetime | None) -> None:
        read = self.read(since=since) if self.is_incremental else self.read()
        write_rows(_conform(read), folder / RESULT)

    def open(self, folder: Path, batch_rows: int) -> Opened:
        return Opened(*open_rows(folder, batch_rows))


def _conform(given: Iterable[Rows]) -> Iterator[pa.Table]:
    """Casts each table to the schema of the first."""
    schema: pa.Schema | None = None
    for number, rows in enumerate(given, start=1):
        table = _to_table(rows, number)
        schema = schema or table.schema
        try:
            yield table.cast(schema)
        except (pa.ArrowException, ValueError) as error:
            raise DataError(
                f"table {number} from the source's function does not fit the first: {error}; the first has "
                f"{_words(schema)}, this one has {_words(table.schema)}. Return tables of one schema, such as pyarrow "
                "tables made with `schema=`"
            ) from None


def _to_table(rows: Any, number: int) -> pa.Table:
    if isinstance(rows, pd.DataFrame):
        try:
            rows = pa.Table.from_pandas(rows, preserve_index=False)
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise DataError(f"table {number} from the source's function cannot be stored: {error}") from None
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if not isinstance(rows, pa.Table):
        raise DataError(
            f"the source's function returned a {type(rows).__name__}; return an iterable, such as a list, of pandas "
            "frames, pyarrow tables or record batches"
        )
    return rows.replace_schema_metadata(None)


def _words(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)
