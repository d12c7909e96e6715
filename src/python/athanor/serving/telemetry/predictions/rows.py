"""Entries of the prediction log, and their form as Arrow record batches."""

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any, Final, NamedTuple

import numpy as np
from arro3.core import Array, ChunkedArray, DataType, Field, RecordBatch, Schema
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind, conform
from athanor.contract.contract import Contract
from athanor.errors import SettingsError

_TYPES: Final = {
    Kind.NUMBER: DataType.float64(),
    Kind.INTEGER: DataType.int64(),
    Kind.BOOLEAN: DataType.bool(),
    Kind.TEXT: DataType.utf8(),
    Kind.TIMESTAMP: DataType.timestamp("us", tz="UTC"),
}
# The log's own columns, beside the contract's.
_METADATA: Final = {
    **dict.fromkeys(("request_id", "door", "variant", "semantic_version", "release_digest"), Kind.TEXT),
    "at": Kind.TIMESTAMP,
    "row": Kind.INTEGER,
}
# The library holds the interpreter's lock. After so many rows, the threads that answer get their turn.
_ROWS_AT_ONCE: Final = 500


class Entry(NamedTuple):
    """Rows of one request.

    Attributes:
        at_ns: when the request came, nanoseconds since 1970.
        columns: of a batch, of which the rows from `first` on are this request's. They are kept: do not change them.
        answers: to the rows; never empty. Columns that the contract of the log has not are left out of it.
    """

    request_id: str
    at_ns: int
    door: str
    variant: str
    semantic_version: str
    digest: str
    columns: Columns
    first: int
    answers: Columns

    @property
    def rows(self) -> int:
        return len(next(iter(self.answers.values())))


class _Piece(NamedTuple):
    """Rows `start` to `end` of an entry."""

    entry: Entry
    start: int
    end: int


class _Run(NamedTuple):
    """Rows `first` to `last` of some columns."""

    columns: Columns
    first: int
    last: int


class EntryShape:
    """The form of entries in a file."""

    def __init__(self, contract: Contract) -> None:
        self._columns, self._answer = contract.columns, contract.answer
        names = [column.name for column in (*self._columns, *self._answer)]
        if clashing := sorted({name for name in names if name in _METADATA or names.count(name) > 1}):
            raise SettingsError(
                f"{contract.name} cannot have a prediction log: rows, answers and the log itself share columns named "
                f"{', '.join(clashing)}; rename them in the contract"
            )
        fields = [Field(name, _TYPES[kind], nullable=False) for name, kind in _METADATA.items()]
        fields += [Field(column.name, _TYPES[column.kind], nullable=True) for column in (*self._columns, *self._answer)]
        self.schema = Schema(fields)

    def batches(self, entries: Sequence[Entry]) -> Iterator[RecordBatch]:
        """Entries as record batches of about `_ROWS_AT_ONCE` rows each."""
        pieces: list[_Piece] = []
        rows = 0
        for entry in entries:
            for start in range(0, entry.rows, _ROWS_AT_ONCE):
                end = min(start + _ROWS_AT_ONCE, entry.rows)
                pieces.append(_Piece(entry, start, end))
                rows += end - start
                if rows >= _ROWS_AT_ONCE:
                    yield self._batch(pieces)
                    pieces, rows = [], 0
        if pieces:
            yield self._batch(pieces)

    def _batch(self, pieces: Sequence[_Piece]) -> RecordBatch:
        runs = [run._replace(columns=_conform(run.columns, self._columns)) for run in _merge(pieces)]
        answers = [_Run(_conform(entry.answers, self._answer), start, end) for entry, start, end in pieces]
        arrays = [*_metadata(pieces), *_gather_all(self._columns, runs), *_gather_all(self._answer, answers)]
        return RecordBatch.from_arrays(arrays, schema=self.schema)


def _conform(values: Columns, columns: Sequence[Column]) -> Columns:
    """Columns of an entry from before or after the contract changed have a missing value for each row."""
    if all(column.name in values for column in columns):
        return values
    return conform(values, columns, len(next(iter(values.values()))))


def _metadata(pieces: Sequence[_Piece]) -> Iterator[Array]:
    """The columns of `_METADATA`, in its order."""
    counts = [piece.end - piece.start for piece in pieces]
    texts = [(e.request_id, e.door, e.variant, e.semantic_version, e.digest) for e, _, _ in pieces]
    repeated = chain.from_iterable(map(repeat, texts, counts))
    yield from (_to_text(list(values)) for values in zip(*repeated, strict=True))
    at = np.array([piece.entry.at_ns // 1_000 for piece in pieces], dtype="M8[us]")
    yield _to_arrow(Kind.TIMESTAMP, np.repeat(at, counts))
    yield _to_arrow(Kind.INTEGER, np.array(list(chain.from_iterable(range(p.start, p.end) for p in pieces))))


def _merge(pieces: Sequence[_Piece]) -> list[_Run]:
    """Merge pieces whose rows are adjacent: requests that were computed together share their arrays."""
    runs: list[_Run] = []
    for entry, start, end in pieces:
        first, last = entry.first + start, entry.first + end
        if runs and runs[-1].columns is entry.columns and runs[-1].last == first:
            runs[-1] = runs[-1]._replace(last=last)
        else:
            runs.append(_Run(entry.columns, first, last))
    return runs


def _gather_all(columns: Sequence[Column], runs: Sequence[_Run]) -> Iterator[Array]:
    are_single = all(run.last - run.first == 1 for run in runs)
    return (_to_arrow(column.kind, _gather(column, runs, are_single)) for column in columns)


def _gather(column: Column, runs: Sequence[_Run], are_single: bool) -> NDArray[Any]:
    name = column.name
    # Many single rows: slicing each and joining the slices takes three times as long.
    if are_single and column.kind is not Kind.TIMESTAMP:
        return np.array([columns[name].item(row) for columns, row, _ in runs], dtype=column.kind.dtype)
    return np.concatenate([run.columns[name][run.first : run.last] for run in runs])


def _to_arrow(kind: Kind, values: NDArray[Any]) -> Array:
    """Convert a column's values; missing ones become nulls."""
    if kind is Kind.TEXT:
        return _to_text([text or None for text in values.tolist()])
    missing = np.isnat(values) if kind is Kind.TIMESTAMP else np.isnan(values)
    plain = values.astype("M8[us]").view("i8") if kind is Kind.TIMESTAMP else values
    array = Array.from_numpy(np.ascontiguousarray(plain))
    if missing.any():
        array = _with_nulls(array, missing)
    return array if array.type == _TYPES[kind] else array.cast(_TYPES[kind])


def _with_nulls(array: Array, missing: NDArray[np.bool_]) -> Array:
    """Put nulls in some places; they are taken from one behind the array's end."""
    longer = ChunkedArray([array, Array([None], type=array.type)]).combine_chunks()
    places = np.arange(len(missing), dtype=np.uint32)
    places[missing] = len(missing)
    return longer.take(Array.from_numpy(places))


def _to_text(texts: list[str | None]) -> Array:
    try:
        return Array(texts, type=_TYPES[Kind.TEXT])
    except UnicodeEncodeError:  # half a character, which JSON can carry and UTF-8 cannot
        return Array([text and text.encode(errors="replace").decode() for text in texts], type=_TYPES[Kind.TEXT])
