"""The content digest: identifies the rows of a dataset, independent of writer, row order, files and compression.

It is a tree of depth two. Rows are grouped by the UTC day of their event time and sorted within the day; each day has a
sha256 over its columns. The digest is the sha256 over the names and types of the columns, and over the days in order.
So it is computed day by day, from a table that need not fit into memory.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athanor.contract.columns import Column, Kind
from athanor.contract.contract import Contract

_DAY_US = 86_400_000_000


def event_days(contract: Contract, table: pa.Table) -> NDArray[np.int64]:
    """The UTC day of each row's event time, in days since 1970-01-01."""
    times = table[contract.event_time.name].cast(pa.int64()).to_numpy()
    return np.asarray(np.floor_divide(times, _DAY_US))


def in_order(contract: Contract, table: pa.Table) -> pa.Table:
    """The rows sorted by event time, then by key; text by its UTF-8 bytes."""
    names = [contract.event_time.name, *(c.name for c in contract.key if c != contract.event_time)]
    order = pc.sort_indices(table, [(name, "ascending") for name in names])
    positions = order.to_numpy()
    return table if np.all(positions[1:] > positions[:-1]) else table.take(order)


class ContentDigest:
    """Computes the content digest from sorted rows, in tables that hold whole days."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._whole = hashlib.sha256()
        for column in contract.dataset_columns:
            self._whole.update(f"{column.name}:{column.kind.value}\n".encode())

    def update(self, table: pa.Table) -> None:
        """Adds rows that follow all earlier ones; their first day must be new."""
        if not table.num_rows:
            return
        days = event_days(self._contract, table)
        starts = np.append(0, np.flatnonzero(days[1:] != days[:-1]) + 1)
        ends = np.append(starts[1:], len(days))
        columns = [_canonical(column, table[column.name]) for column in self._contract.dataset_columns]
        for day, start, end in zip(days[starts].tolist(), starts.tolist(), ends.tolist(), strict=True):
            of_day = hashlib.sha256()
            for buffers in columns:
                for buffer in buffers(start, end):
                    of_day.update(buffer)
            self._whole.update(f"{day}:{end - start}:".encode() + of_day.digest())

    def hexdigest(self) -> str:
        return self._whole.hexdigest()


def content_digest(contract: Contract, table: pa.Table) -> str:
    """sha256, in hexadecimal, of the rows of a table in any order, with the schema of `tables.to_arrow`."""
    digest = ContentDigest(contract)
    digest.update(in_order(contract, table))
    return digest.hexdigest()


def _canonical(column: Column, values: pa.ChunkedArray) -> Any:
    """A function from (start, end) to the canonical bytes of those rows: equal if and only if the values are."""
    if column.kind is Kind.TEXT:
        return _canonical_texts(values)
    if column.kind is Kind.TIMESTAMP:
        numbers = pc.fill_null(values.cast(pa.int64()), np.iinfo(np.int64).min).to_numpy().astype("<i8")
    else:
        # Adding zero turns -0.0 into 0.0; every NaN gets the same bit pattern.
        floats = values.cast(pa.float64()).to_numpy(zero_copy_only=False) + 0.0
        floats[np.isnan(floats)] = np.nan
        numbers = floats.astype("<f8", copy=False)
    return lambda start, end: (numbers[start:end].data,)


def _canonical_texts(values: pa.ChunkedArray) -> Any:
    array = pc.fill_null(values, "").combine_chunks().cast(pa.large_string())
    _, offsets_buffer, data = array.buffers()
    first = array.offset
    offsets = np.frombuffer(offsets_buffer, dtype="<i8")[first : first + len(array) + 1]
    lengths = np.diff(offsets).astype("<u4")
    content = memoryview(data) if data is not None else memoryview(b"")

    def buffers(start: int, end: int) -> Iterator[Any]:
        yield lengths[start:end].data
        yield content[offsets[start] : offsets[end]]

    return buffers
