"""How much memory rows and answers keep alive, for all that bounds what waits."""

from collections.abc import Sequence
from sys import getsizeof
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.plans import once

# Of objects, about: an array with its key, but for its values; a text beside its characters.
_ARRAY_BYTES: Final = 200
_TEXT_BYTES: Final = 80


def measure_retained(columns: Sequence[Column], values: Columns, rows: int) -> int:
    """Estimates the bytes that columns of a batch keep alive. Never less than they take, and fast for large ones.

    Args:
        columns: of the contract.
        values: of the batch, or of some of its rows: views keep the whole.
        rows: of the batch.
    """
    free_texts, text_bytes = _plan(columns)
    # Columns of a kind may share their memory.
    owners = {id(owner): owner for owner in map(owner_of, values.values())}
    size = _ARRAY_BYTES * len(values) + text_bytes * rows + sum(map(_bytes_of, owners.values()))
    # Ten times as fast as to ask each text for its size, and never less.
    return size + sum([getsizeof("".join(values[name].tolist())) for name in free_texts if name in values])


@once
def _plan(columns: Sequence[Column]) -> tuple[tuple[str, ...], int]:
    """The free texts, and bytes of each row: its categories, and its free texts beside their characters."""
    texts = [column for column in columns if column.kind is Kind.TEXT]
    text_bytes = sum(max(map(getsizeof, column.categories), default=_TEXT_BYTES) for column in texts)
    return tuple(column.name for column in texts if not column.categories), text_bytes


def _bytes_of(owner: object) -> int:
    return owner.nbytes if isinstance(owner, np.ndarray) else getsizeof(owner)


def owner_of(array: NDArray[Any]) -> object:
    """The object that holds an array's memory: a view keeps the whole of it."""
    return array if array.base is None else array.base
