"""Slices: groups of rows by which an evaluation is broken down."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns


@dataclass(frozen=True)
class Slice:
    """What rows are told apart by.

    Attributes:
        by: takes contract columns of length n, returns n texts.
    """

    name: str
    by: Callable[[Columns], NDArray[np.object_]]


def by_column(name: str) -> Slice:
    """By the values of a text column; "" is missing."""
    return Slice(name, lambda columns: columns[name])


def by_month(event_time: str) -> Slice:
    """By the calendar month, UTC, of a timestamp column: "2013-10"."""

    def month(columns: Columns) -> NDArray[Any]:
        return columns[event_time].astype("M8[M]").astype(str).astype(object)

    return Slice("month", month)
