"""Refusals of rows: what is wrong with them, the first of it by name and the rest by number."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from athanor.contract.columns import Column
from athanor.contract.validation import Breach
from athanor.errors import MOST_VIOLATIONS, FieldViolation, InvalidRequestError

Locate: TypeAlias = Callable[[int, str], str]
"""Names a value for the caller, by row and column: `flights[3].distance`; a row, if the column is "": `flights[3]`."""

_AFTER_COLUMNS: Final = 2**30


@dataclass(slots=True)
class Unread:
    """Values of a request that cannot be read. Their arrays hold a missing value in their place."""

    _rows: dict[str, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("q")))
    _first: list[tuple[int, int, str, str, str]] = field(default_factory=list)

    def add(self, row: int, column: Column | None, rule: str, description: str, name: str = "") -> None:
        """Args: name: in place of a column's; "" without a column for the row itself."""
        name = column.name if column else name
        # A name that is no column is one of many that a caller can think of: their rows are counted together.
        rows = self._rows[column.name if column else ""]
        rows.append(row)
        if len(rows) <= MOST_VIOLATIONS:
            self._first.append((row, column.number if column else _AFTER_COLUMNS, name, rule, description))

    def __bool__(self) -> bool:
        return bool(self._first)

    def violations(self, locate: Locate) -> list[FieldViolation]:
        """The first of them, in the order of rows and columns."""
        found = sorted(self._first, key=lambda each: each[:2])[:MOST_VIOLATIONS]
        return [FieldViolation(locate(row, name), rule, text) for row, _, name, rule, text in found]


def refuse(breaches: Sequence[Breach], unread: Unread, count: int, locate: Locate) -> InvalidRequestError:
    """The error for rows of which some break the contract or cannot be read.

    Args:
        count: number of all rows.
    """
    found = list(unread._first)
    # A value that cannot be read is not missing as well.
    kept = [
        (breach, np.flatnonzero(~np.isin(breach.rows, unread._rows.get(breach.column.name, ())))) for breach in breaches
    ]
    for breach, positions in kept:
        for violation in map(breach.violation, positions[:MOST_VIOLATIONS].tolist()):
            column = violation.column
            found.append((violation.row, column.number, column.name, violation.rule.value, str(violation)))
    found = sorted(found, key=lambda each: each[:2])[:MOST_VIOLATIONS]
    violations = tuple(FieldViolation(locate(row, name), rule, text) for row, _, name, rule, text in found)
    rows = [*(breach.rows[positions] for breach, positions in kept), *map(np.asarray, unread._rows.values())]
    total = sum(map(len, rows))
    broken = _describe(total, len(np.unique(np.concatenate(rows))), count)
    return InvalidRequestError(broken, violations, total - len(violations))


def _describe(values: int, rows: int, count: int) -> str:
    where = f"{rows} of {count} rows" if count > 1 else "1 row"
    return f"{values} values in {where} break the contract" if values > 1 else f"1 value in {where} breaks the contract"


class Violations:
    """Violations of a request as a whole: the first ones, and the number of the others."""

    def __init__(self) -> None:
        self._first: list[FieldViolation] = []
        self._count = 0

    def add(self, field: str, rule: str, description: str) -> None:
        self._count += 1
        if self._count <= MOST_VIOLATIONS:
            self._first.append(FieldViolation(field, rule, description))

    def __bool__(self) -> bool:
        return bool(self._count)

    def raise_any(self, message: str) -> None:
        """Raises InvalidRequestError if there are any."""
        if self._count:
            raise InvalidRequestError(message, tuple(self._first), self._count - len(self._first))
