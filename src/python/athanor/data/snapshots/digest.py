"""The content digest: identifies the rows of a dataset, independent of writer, row order, files and compression.

It is a tree of depth two. Rows are grouped by the UTC day of their event time, or by a digest where they have none, and
sorted within the group (`order.py`); each group has a sha256 over its columns. The digest is the sha256 over the names
and types of the columns, and over the groups in order. So it is computed group by group, from a table that need not fit
into memory.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from athanor.contract.columns import Column, Kind
from athanor.contract.contract import Contract
from athanor.data.snapshots.canonical import canonical_numbers, canonical_texts
from athanor.data.snapshots.order import in_order, row_groups


class ContentDigest:
    """Computes the content digest from sorted rows, in tables that hold whole groups."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._whole = hashlib.sha256()
        for column in contract.dataset_columns:
            self._whole.update(f"{column.name}:{column.kind.value}\n".encode())

    def update(self, table: pa.Table) -> None:
        """Adds rows that follow all earlier ones; their first group must be new."""
        if not table.num_rows:
            return
        groups = row_groups(self._contract, table)
        starts = np.append(0, np.flatnonzero(groups[1:] != groups[:-1]) + 1)
        ends = np.append(starts[1:], len(groups))
        columns = [_canonical(column, table[column.name]) for column in self._contract.dataset_columns]
        for group, start, end in zip(groups[starts].tolist(), starts.tolist(), ends.tolist(), strict=True):
            of_group = hashlib.sha256()
            for buffers in columns:
                for buffer in buffers(start, end):
                    of_group.update(buffer)
            self._whole.update(f"{group}:{end - start}:".encode() + of_group.digest())

    def hexdigest(self) -> str:
        return self._whole.hexdigest()


def content_digest(contract: Contract, table: pa.Table) -> str:
    """sha256, in hexadecimal, of the rows of a table in any order, with the schema of `tables.to_arrow`."""
    digest = ContentDigest(contract)
    digest.update(in_order(contract, table))
    return digest.hexdigest()


def _canonical(column: Column, values: pa.ChunkedArray) -> Any:
    """A function from (start, end) to the canonical bytes of those rows."""
    if column.kind is Kind.TEXT:
        return _split_texts(canonical_texts(values))
    numbers = canonical_numbers(values)
    return lambda start, end: (numbers[start:end].data,)


def _split_texts(array: pa.Array) -> Any:
    _, offsets_buffer, data = array.buffers()
    first = array.offset
    offsets = np.frombuffer(offsets_buffer, dtype="<i8")[first : first + len(array) + 1]
    lengths = np.diff(offsets).astype("<u4")
    content = memoryview(data) if data is not None else memoryview(b"")

    def buffers(start: int, end: int) -> Iterator[Any]:
        yield lengths[start:end].data
        yield content[offsets[start] : offsets[end]]

    return buffers
