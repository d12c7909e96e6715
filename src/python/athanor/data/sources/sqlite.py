"""Rows of SQLite, whose columns have no types: each value has one of its own.

A column gets the narrowest type that holds all its values exactly. The Arrow driver for SQLite infers it from the first
rows, fails at a later value of another type, and writes numbers beside texts with seven digits.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa

from athanor.contract.shown import shown
from athanor.data.sources.columns.types import as_untyped
from athanor.errors import DataError

_BATCH_ROWS: Final = 32_768
_KINDS: Final[dict[frozenset[type], pa.DataType]] = {
    frozenset(): pa.null(),
    frozenset({int}): pa.int64(),
    frozenset({float}): pa.float64(),
    frozenset({int, float}): pa.float64(),
    frozenset({bytes}): pa.binary(),
}

Write = Callable[[Iterator[pa.Table]], None]


class _AnotherTypeError(Exception):
    """A value does not fit the types of the values before it."""


def write_result(path: Path, query: str, parameters: Sequence[str], write: Write) -> None:
    """Runs a query and writes its rows; again from the beginning where a later value changes the type of a column.

    Raises:
        DataError: a column holds bytes beside other values, or text that is not UTF-8.
        sqlite3.Error: the query fails.
    """
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)) as connection:
        # In one transaction all passes see the same rows.
        connection.execute("BEGIN")
        # A query without a table would not read the file.
        connection.execute("PRAGMA schema_version")
        result = _Result(connection, query, parameters)
        while True:
            try:
                write(result.read())
                return
            except _AnotherTypeError:
                result.find_types()


class _Result:
    """The rows of a query, the types of their values so far, and the first text in each column that has one."""

    def __init__(self, connection: sqlite3.Connection, query: str, parameters: Sequence[str]) -> None:
        self._connection, self._query, self._parameters = connection, query, parameters
        self._types: list[set[type]] = []
        self._examples: dict[int, str] = {}

    def read(self) -> Iterator[pa.Table]:
        """An empty table, then all rows; their types are those of the first rows, or of all after `find_types`."""
        for columns, names, row in self._batches():
            is_first = not self._types
            if self._note_types(columns, row) and not is_first:
                raise _AnotherTypeError
            schema = self._schema(names)
            if row == 1:
                yield schema.empty_table()
            yield pa.table([self._to_arrow(*pair) for pair in zip(columns, schema, strict=True)], schema=schema)

    def find_types(self) -> None:
        for columns, _, row in self._batches():
            self._note_types(columns, row)

    def _batches(self) -> Iterator[tuple[Sequence[Sequence[Any]], list[str], int]]:
        """The values of each column, the names of the columns, and the number of the first row; at least once."""
        with closing(self._connection.execute(self._query, self._parameters)) as cursor:
            names, row = [column[0] for column in cursor.description], 1
            while (rows := cursor.fetchmany(_BATCH_ROWS)) or row == 1:
                yield list(zip(*rows, strict=True)) or [()] * len(names), names, row
                row += max(len(rows), 1)

    def _note_types(self, columns: Sequence[Sequence[Any]], row: int) -> bool:
        """Whether a column has a value of a type that it had not before."""
        self._types = self._types or [set() for _ in columns]
        is_new = False
        for position, values in enumerate(columns):
            found = set(map(type, values)) - {type(None)}
            is_new |= not found <= self._types[position]
            self._types[position] |= found
            if str in found and position not in self._examples:
                at, text = next((at, value) for at, value in enumerate(values) if isinstance(value, str))
                self._examples[position] = f"{shown(text)} in row {row + at:,} of the result"
        return is_new

    def _schema(self, names: Sequence[str]) -> pa.Schema:
        fields = enumerate(zip(names, self._types, strict=True))
        return pa.schema([self._field(position, name, types) for position, (name, types) in fields])

    def _field(self, position: int, name: str, types: set[type]) -> pa.Field:
        if kind := _KINDS.get(frozenset(types)):
            return pa.field(name, kind)
        if bytes in types:
            raise DataError(
                f"column {name!r} of the query has bytes beside other values; cast all: CAST({name} AS TEXT)"
            )
        text = pa.field(name, pa.string())
        return as_untyped(text, self._examples[position]) if len(types) > 1 else text

    def _to_arrow(self, values: Sequence[Any], field: pa.Field) -> pa.Array:
        if field.metadata:
            values = [repr(value) if isinstance(value, int | float) else value for value in values]
        try:
            return pa.array(values, field.type)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"column {field.name!r} of the query has whole numbers beside others: {error}; cast all: "
                f"CAST({field.name} AS INTEGER)"
            ) from None
