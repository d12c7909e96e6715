"""What is worked out once for the columns of a contract, and used for each request."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Final, TypeVar

from athanor.contract.columns import Column

Plan = TypeVar("Plan")

MOST_CONTRACTS: Final = 2_048
"""Contracts whose plans a process keeps: a service may have hundreds of models, each with one or a few."""

MOST_COLUMNS: Final = 8 * MOST_CONTRACTS
"""The same for single columns. Many contracts have equal ones."""


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
            if len(kept) >= MOST_CONTRACTS:
                kept.clear()
            kept[id(columns)] = (columns, made)
        return made

    return find
