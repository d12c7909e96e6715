"""The order of a dataset's rows, which depends on their values alone, and the groups that it is made in.

Rows are sorted by event time, then by key. A digest takes the place of what a contract does not have: of the whole row
where it has no key, and of the key, or else of the whole row, where it has no event time.
"""

import hashlib
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athanor.contract.contract import Contract
from athanor.data.snapshots.canonical import canonical_numbers, canonical_texts

_DAY_US: Final = 86_400_000_000
_DIGEST_BYTES: Final = 16
# The first twelve bits of a digest: 4,096 groups.
_GROUP_SHIFT: Final = np.uint64(64 - 12)


def row_groups(contract: Contract, table: pa.Table) -> NDArray[np.int64]:
    """The group of each row: groups in ascending order hold the rows in order.

    It is the UTC day of the event time, in days since 1970-01-01; without one, a number from 0 to 4,095 by the digest.
    Rows of one key are in one group, if the event time is part of the key or there is none.
    """
    if contract.event_time is None:
        high, _ = row_digests(_identifying(contract, table))
        return (high >> _GROUP_SHIFT).astype(np.int64)
    times = table[contract.event_time.name].cast(pa.int64()).to_numpy()
    return np.asarray(np.floor_divide(times, _DAY_US))


def in_order(contract: Contract, table: pa.Table) -> pa.Table:
    """The sorted rows; text by its UTF-8 bytes. Rows that are equal in all columns are neighbours."""
    positions = _sort(contract, table)
    return table if np.all(positions[1:] > positions[:-1]) else table.take(pa.array(positions))


def _sort(contract: Contract, table: pa.Table) -> NDArray[Any]:
    if contract.event_time is not None and contract.key:
        names = [contract.event_time.name, *(c.name for c in contract.key if c != contract.event_time)]
        order = pc.sort_indices(table, [(name, "ascending") for name in names])
        return np.asarray(order.to_numpy())
    high, low = row_digests(_identifying(contract, table))
    if contract.event_time is None:
        return np.lexsort((low, high))
    return np.lexsort((low, high, table[contract.event_time.name].cast(pa.int64()).to_numpy()))


def _identifying(contract: Contract, table: pa.Table) -> pa.Table:
    """The columns that identify a row, in the contract's order."""
    return table.select([column.name for column in contract.key or contract.dataset_columns])


def row_digests(table: pa.Table) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """A digest of each row, as its first and its last 64 bits: equal if and only if all values are.

    The same in every process and version, as the digest of a dataset must be. Takes about a microsecond a row.
    """
    rows = np.concatenate([_fixed_bytes(column) for column in table.itercolumns()], axis=1)
    width, content = rows.shape[1], rows.reshape(-1).data
    digests = b"".join(
        hashlib.blake2b(content[start : start + width], digest_size=_DIGEST_BYTES).digest()
        for start in range(0, len(content), width)
    )
    halves = np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return halves[:, 0], halves[:, 1]


def _fixed_bytes(values: pa.ChunkedArray) -> NDArray[np.uint8]:
    """As many bytes for each value, of shape (rows, bytes). Hashes each distinct text once."""
    if not pa.types.is_string(values.type):
        return canonical_numbers(values).reshape(-1, 1).view(np.uint8)
    encoded = canonical_texts(values).dictionary_encode()
    hashed = (
        hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest() for text in encoded.dictionary.to_pylist()
    )
    distinct = np.frombuffer(b"".join(hashed), dtype=np.uint8).reshape(-1, _DIGEST_BYTES)
    return np.asarray(distinct[encoded.indices.to_numpy()])
