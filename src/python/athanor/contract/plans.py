"""What is worked out once for the columns of a contract, and used for each request."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

from athanor.contract.columns import Column

Plan = TypeVar("Plan")

# Contracts in a process, each with its columns, its outcome's and its prediction.
_MOST_KEPT = 256


def once(make: Callable[[Sequence[Column]], Plan]) -> Callable[[Sequence[Column]], Plan]:
    """Keeps what a function makes of a tuple of columns, as a contract has.

    By its identity: hashing the columns of a flight takes 4 us, a tenth of what it takes to answer one.
    """
    kept: dict[int, tuple[Sequence[Column], Plan]] = {}

    @wraps(make)
    def find(columns: Sequence[Column]) -> Plan:
        known = kept.get(id(columns))
        # A tuple that is kept stays alive, so no other has its identity. A list may change.
        if known is not None:
            return known[1]
        made = make(columns)
        if isinstance(columns, tuple):
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            kept[id(columns)] = (columns, made)
        return made

    return find
