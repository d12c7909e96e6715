"""How much memory the rows of a batch keep alive, for all that bounds what waits."""

from sys import getsizeof
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns, Kind
from athanor.contract.contract import Contract

# Of objects, about: an array with its key, but for its values; a text beside its characters.
_ARRAY_BYTES: Final = 200
_TEXT_BYTES: Final = 80


class RetainedBytes:
    """Estimates the bytes that columns of a contract keep alive. Never less than they take, and fast for large ones."""

    def __init__(self, contract: Contract) -> None:
        texts = [column for column in contract.columns if column.kind is Kind.TEXT]
        self._free_texts = tuple(column.name for column in texts if not column.categories)
        # Of each row: its categories, and its free texts beside their characters.
        self._text_bytes = sum(max(map(getsizeof, column.categories), default=_TEXT_BYTES) for column in texts)

    def __call__(self, columns: Columns) -> int:
        rows = len(next(iter(columns.values())))
        # Columns of a kind may share their memory.
        owners = {id(owner): owner for owner in map(owner_of, columns.values())}
        size = _ARRAY_BYTES * len(columns) + self._text_bytes * rows + sum(map(_bytes_of, owners.values()))
        # Ten times as fast as to ask each text for its size, and never less.
        size += sum([getsizeof("".join(columns[name].tolist())) for name in self._free_texts if name in columns])
        return size


def _bytes_of(owner: object) -> int:
    return owner.nbytes if isinstance(owner, np.ndarray) else getsizeof(owner)


def owner_of(array: NDArray[Any]) -> object:
    """The object that holds an array's memory: a view keeps the whole of it."""
    return array if array.base is None else array.base
