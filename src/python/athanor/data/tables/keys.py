"""Keys of rows in Arrow tables: hashing, duplicates and membership."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athanor.contract.contract import Contract

# Not an identifier, so that no proto field has this name.
_ROW = "#row"
# Odd, so that the multiplication loses no bit.
_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)


def key_names(contract: Contract) -> list[str]:
    return [column.name for column in contract.key]


def hash_keys(keys: pa.Table, groups: int) -> NDArray[np.int64]:
    """A number below `groups` for each row, equal for equal keys, in every process."""
    return (_hashes(keys) % groups).astype(np.int64)


def _hashes(keys: pa.Table) -> NDArray[np.uint64]:
    """64 bits for each row. Hashes each distinct text once."""
    hashed = np.zeros(keys.num_rows, dtype=np.uint64)
    for column in _comparable(keys).itercolumns():
        hashed = hashed * _MULTIPLIER + _hash_column(column.combine_chunks())
    return hashed


def _hash_column(values: pa.Array) -> NDArray[np.uint64]:
    if not pa.types.is_string(values.type):
        return pd.util.hash_array(values.to_numpy(zero_copy_only=False))
    encoded = values.dictionary_encode()
    distinct = pd.util.hash_array(encoded.dictionary.to_numpy(zero_copy_only=False))
    return np.asarray(distinct[encoded.indices.to_numpy()], dtype=np.uint64)


def repeated_keys(keys: pa.Table) -> pa.Table:
    """The keys of more than one row, once each."""
    hashes = _hashes(keys)
    ordered = np.sort(hashes)
    same = ordered[1:][ordered[1:] == ordered[:-1]]
    # Different hashes mean different keys: compare only rows whose hashes are equal, usually none.
    suspect = np.isin(hashes, same) if len(same) else np.zeros(len(hashes), dtype=np.bool_)
    counted = _comparable(keys.filter(pa.array(suspect))).group_by(keys.column_names).aggregate([([], "count_all")])
    *columns, counts = counted.columns
    return pa.table(columns, keys.column_names).filter(pc.greater(counts, 1))


def is_among(table: pa.Table, keys: pa.Table) -> NDArray[np.bool_]:
    """Mask of the rows whose key is in `keys`. Keys are never missing."""
    among = np.zeros(table.num_rows, dtype=np.bool_)
    if keys.num_rows:
        names = keys.column_names
        rows = _comparable(table.select(names)).append_column(_ROW, pa.array(np.arange(table.num_rows)))
        among[rows.join(_comparable(keys), names, join_type="left semi")[_ROW].to_numpy()] = True
    return among


def _comparable(keys: pa.Table) -> pa.Table:
    """The same keys with equal bits for equal values, as grouping and joining need: -0.0 becomes 0.0."""
    for position, field in enumerate(keys.schema):
        if pa.types.is_floating(field.type):
            keys = keys.set_column(position, field, pc.add(keys.column(position), 0.0))
    return keys


def equals_neighbour(keys: pa.Table) -> NDArray[np.bool_]:
    """Mask of the rows that share their key with the row above or below, in a table sorted by key."""
    same = equals_previous(keys)
    return same | np.append(same[1:], np.zeros(min(len(same), 1), dtype=np.bool_))


def equals_previous(rows: pa.Table) -> NDArray[np.bool_]:
    """Mask of the rows that have the values of the row above in all columns; null equals null."""
    if not rows.num_rows:
        return np.zeros(0, dtype=np.bool_)
    same = np.ones(rows.num_rows - 1, dtype=np.bool_)
    for name in rows.column_names:
        values = rows[name].combine_chunks()
        same &= _equal(values.slice(0, len(values) - 1), values.slice(1))
    return np.append(False, same)


def equal_values(before: pa.Table, after: pa.Table) -> dict[str, NDArray[np.bool_]]:
    """For each column of `before`, a mask of the rows with equal values in both tables; null equals null."""
    return {name: _equal(before[name].combine_chunks(), after[name].combine_chunks()) for name in before.column_names}


def _equal(before: pa.Array, after: pa.Array) -> NDArray[np.bool_]:
    both_missing = pc.and_(pc.is_null(before), pc.is_null(after))
    same = pc.or_(pc.fill_null(pc.equal(before, after), False), both_missing)
    return np.asarray(same.to_numpy(zero_copy_only=False), dtype=np.bool_)
