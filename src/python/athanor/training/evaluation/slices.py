"""Slices: groups of rows for which metrics are reported separately."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns


@dataclass(frozen=True)
class Slice:
    """A grouping of rows.

    Attributes:
        by: takes contract columns of length n and returns an object array of n strings, the group of each row.

    >>> distance = Slice("distance", lambda columns: np.where(columns["km"] < 500, "short", "long").astype(object))
    >>> distance.by({"km": np.array([np.nan, 120.0, 900.0])})
    array(['long', 'short', 'long'], dtype=object)
    """

    name: str
    by: Callable[[Columns], NDArray[np.object_]]


def by_column(name: str) -> Slice:
    """Groups rows by the values of a text column; "" is the group of missing values.

    >>> by_column("carrier").by({"carrier": np.array(["UA", ""], dtype=object)})
    array(['UA', ''], dtype=object)
    """
    return Slice(name, lambda columns: columns[name])


def by_month(event_time: str) -> Slice:
    """Groups rows by the calendar month, in UTC, of a timestamp column without missing values.

    >>> by_month("departure").by({"departure": np.array(["2013-10-31T23:30"], dtype="M8[us]")})
    array(['2013-10'], dtype=object)
    """

    def month(columns: Columns) -> NDArray[Any]:
        return columns[event_time].astype("M8[M]").astype(str).astype(object)

    return Slice("month", month)
