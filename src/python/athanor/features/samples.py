"""Rows that try a traced graph: does it answer each by itself?"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from athanor.contract.columns import Column, Columns, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_ROWS: Final = 7
_INSTANTS: Final = ("2013-07-04T16:30:05.25", "1969-12-31T23:59:59.999999", "2024-02-29T07:00", "2051-11-05T05:59")
_TEXTS: Final = ("a", "B c", "7")
_SHARES: Final = (0.61, 0.0, 1.0, 0.25)


def make_rows(columns: Sequence[Column]) -> Columns:
    """A few rows that differ: the ends of each range, what lies between, and missing values where they are allowed."""
    return {column.name: _take(_make_values(column), start) for start, column in enumerate(columns)}


def _take(values: NDArray[Any], start: int) -> NDArray[Any]:
    return values[(start + np.arange(_ROWS)) % len(values)]


def _make_values(column: Column) -> NDArray[Any]:
    missing = [None] if column.may_be_missing else []
    if column.kind is Kind.TIMESTAMP:
        return np.array([*_INSTANTS, *("NaT" for _ in missing)], dtype="M8[us]")
    if column.kind is Kind.TEXT:
        return np.array([*(column.categories or _TEXTS), *("" for _ in missing)], dtype=object)
    if column.kind is Kind.BOOLEAN:
        return np.array([1.0, 0.0, *(np.nan for _ in missing)])
    low = column.minimum if isfinite(column.minimum) else min(-1e3, column.maximum - 1e3)
    high = column.maximum if isfinite(column.maximum) else max(1e3, low + 2e3)
    numbers = (low + share * (high - low) for share in _SHARES)
    whole = (float(round(number)) if column.kind is Kind.INTEGER else number for number in numbers)
    return np.array([*whole, *(np.nan for _ in missing)])
