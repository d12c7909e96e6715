"""Tables that a function of the project returns."""

import inspect
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

from athanor.contract.shown import shown
from athanor.data.sources.columns.types import plain, read_types
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
        types: column types by name; see `ParquetFiles`. A column of Python objects in a frame is kept as text.

    Raises:
        SettingsError: `read` is not callable, or a type is not valid.

    >>> def read(since: datetime | None):
    ...     yield pd.DataFrame({"sensor": ["a", "b"], "level": [1.5, None]})
    >>> source = FunctionSource(read)
    >>> source.is_incremental
    True
    >>> source.fetch(Path("raw"), since=None)
    >>> [table.to_pydict() for table, _ in source.open(Path("raw"), batch_rows=1000).batches]
    [{'sensor': ['a', 'b'], 'level': [1.5, None]}]
    """

    read: Callable[..., Iterable[Rows]] = field(repr=False)
    types: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        read_types(self.types)
        if not callable(self.read):
            raise SettingsError(f"FunctionSource needs a function, not {self.read!r}")

    @property
    def is_incremental(self) -> bool:
        return "since" in inspect.signature(self.read).parameters

    def fetch(self, folder: Path, since: datetime | None) -> None:
        read = self.read(since=since) if self.is_incremental else self.read()
        write_rows(_conform(read, self.types), folder / RESULT)

    def open(self, folder: Path, batch_rows: int) -> Opened:
        return open_rows(folder, batch_rows, types=read_types(self.types))


def _conform(given: Iterable[Rows], types: Container[str]) -> Iterator[pa.Table]:
    """Casts each table to the schema of the first."""
    schema: pa.Schema | None = None
    for number, rows in enumerate(given, start=1):
        table = plain(_to_table(rows, number, types))
        schema = schema or table.schema
        try:
            yield table.cast(schema)
        except (pa.ArrowException, ValueError) as error:
            raise DataError(
                f"table {number} from the source's function does not fit the first: {error}; the first has "
                f"{_words(schema)}, this one has {_words(table.schema)}. Return tables of one schema, such as pyarrow "
                "tables made with `schema=`"
            ) from None


def _to_table(rows: Any, number: int, types: Container[str]) -> pa.Table:
    if isinstance(rows, pd.DataFrame):
        rows = _as_texts(rows, types)
        try:
            rows = pa.Table.from_pandas(rows, preserve_index=False)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise DataError(
                f"table {number} from the source's function cannot be stored: {_explain(rows) or error}"
            ) from None
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if not isinstance(rows, pa.Table):
        raise DataError(
            f"the source's function returned a {type(rows).__name__}; return an iterable, such as a list, of pandas "
            "frames, pyarrow tables or record batches"
        )
    return rows.replace_schema_metadata(None)


def _as_texts(frame: pd.DataFrame, types: Container[str]) -> pd.DataFrame:
    """The frame with each declared column of Python objects as text, whatever the objects are."""
    for name in frame:
        if name in types and frame[name].dtype == object:
            texts = [None if missing else str(value) for value, missing in _values(frame[name])]
            frame = frame.assign(**{str(name): pd.array(texts, dtype="str")})
    return frame


def _values(series: "pd.Series[Any]") -> Iterator[tuple[Any, bool]]:
    return zip(series, series.isna(), strict=True)


def _explain(frame: pd.DataFrame) -> str:
    """The first column that Arrow cannot store, with the first two values of different types; "" without one."""
    for name in frame:
        try:
            pa.array(frame[name], from_pandas=True)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            present = [(row, value) for row, (value, missing) in enumerate(_values(frame[name]), 1) if not missing]
            differing = (pair for pair in present if type(pair[1]) is not type(present[0][1]))
            row, value = next(differing, (0, None))
            if not row:
                return f"column {name!r}: {error}"
            return (
                f"column {name!r} has {shown(value)} of type {type(value).__name__} in row {row:,} beside "
                f"{shown(present[0][1])} of type {type(present[0][1]).__name__}; return values of one type, or declare "
                f"it, such as types={{{name!r}: 'float64'}}: rows with other values are then rejected"
            )
    return ""


def _words(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)
