"""The inputs of a model's graph: the feature columns of a contract in at most three tensors.

One for each type that a graph tells apart: for one row, 17 tensors of a column each take 37 us more to pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import itemgetter
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind, Role

NUMBERS: Final = "numbers"
INSTANTS: Final = "instants"
TEXTS: Final = "texts"

_Read: TypeAlias = Callable[[Columns], tuple[NDArray[Any], ...]]
_Pack: TypeAlias = Callable[[Columns], NDArray[Any]]


@dataclass(frozen=True)
class GraphInputs:
    """The tensors through which a graph takes the feature columns of a contract. A tensor without columns is absent.

    Attributes:
        numbers: columns of the tensor `numbers`, float64 of shape (n, columns); NaN for missing.
        instants: columns of `instants`, int64 of shape (n, columns): microseconds since 1970 in UTC, the smallest int64
            for missing.
        texts: columns of `texts`, an object array of `str` of shape (n, columns); "" for missing.

    >>> inputs = GraphInputs(numbers=("amount", "count"), instants=("time",), texts=())
    >>> columns = {
    ...     "amount": np.array([0.5, np.nan]),
    ...     "count": np.array([1.0, 2.0]),
    ...     "time": np.array(["1970-01-01T00:00:01", "NaT"], dtype="M8[us]"),
    ... }
    >>> {name: tensor.tolist() for name, tensor in inputs.pack(columns).items()}
    {'numbers': [[0.5, 1.0], [nan, 2.0]], 'instants': [[1000000], [-9223372036854775808]]}
    """

    numbers: tuple[str, ...]
    instants: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, columns: Sequence[Column]) -> "GraphInputs":
        """The inputs for the columns with ROLE_FEATURE, in the order given."""
        features = [column for column in columns if Role.FEATURE in column.roles]
        return cls(
            numbers=tuple(column.name for column in features if column.kind.is_numeric),
            instants=tuple(column.name for column in features if column.kind is Kind.TIMESTAMP),
            texts=tuple(column.name for column in features if column.kind is Kind.TEXT),
        )

    def pack(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """The tensors of `n` rows, by name. Other columns are ignored. Raises KeyError if a column is absent."""
        return {tensor: pack(columns) for tensor, pack in self._packers.items()}

    @cached_property
    def _packers(self) -> dict[str, _Pack]:
        packers = (
            (NUMBERS, self.numbers, _pack_numbers),
            (INSTANTS, self.instants, _pack_instants),
            (TEXTS, self.texts, _pack_texts),
        )
        return {tensor: partial(pack, _reader(names)) for tensor, names, pack in packers if names}


def _reader(names: tuple[str, ...]) -> _Read:
    # Of one name `itemgetter` makes no tuple.
    return itemgetter(*names) if len(names) > 1 else lambda columns: (columns[names[0]],)


# onnxruntime needs contiguous rows. Transposing takes a third of the time of `np.stack(…, axis=1)` for one row, and 0.7
# for 1,000.
def _pack_numbers(read: _Read, columns: Columns) -> NDArray[Any]:
    return np.array(read(columns), np.float64, order="F").T


def _pack_instants(read: _Read, columns: Columns) -> NDArray[Any]:
    return np.array(read(columns), "M8[us]", order="F").T.view(np.int64)


def _pack_texts(read: _Read, columns: Columns) -> NDArray[Any]:
    return np.array(read(columns), np.object_, order="F").T
