"""Messages to arrays and back."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import nan
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind

AnyMessage = TypeVar("AnyMessage", bound=Message)

# Timestamp's own range is 0001-01-01 to 9999-12-31. An instant outside is read as the first one after it, which
# `validate` reports as out of range: a wrong instant neither overflows nor counts as missing.
_FIRST_SECOND = -62_135_596_800
_LAST_SECOND = 253_402_300_799
FIRST_US = _FIRST_SECOND * 1_000_000
OUT_OF_RANGE_US = (_LAST_SECOND + 1) * 1_000_000


def to_columns(columns: Sequence[Column], messages: Sequence[Message]) -> dict[str, NDArray[Any]]:
    """Reads `n` messages into arrays of length `n`, by column name. Values are not validated.

    A field that is not set is missing: NaN, "" or NaT, as `Kind` says.
    """
    # A repeated field creates its messages anew on each iteration.
    listed = list(messages)
    return {column.name: _read(column, listed) for column in columns}


def _read(column: Column, messages: list[Message]) -> NDArray[Any]:
    values = list(map(attrgetter(column.name), messages))
    if column.kind is Kind.TIMESTAMP:
        values = list(map(_microseconds, map(_SECONDS_AND_NANOS, values)))
    if column.kind is not Kind.TEXT and not all(values):
        # Reading presence costs more than reading the value, and matters only where the value is zero.
        missing = _NOT_A_TIME if column.kind is Kind.TIMESTAMP else nan
        for row, value in enumerate(values):
            if not value and not messages[row].HasField(column.name):
                values[row] = missing
    if column.kind is Kind.TIMESTAMP:
        return np.array(values, dtype=np.int64).view("M8[us]")
    return np.array(values, dtype=column.dtype)


_NOT_A_TIME = np.datetime64("NaT", "us").astype(np.int64).item()
_SECONDS_AND_NANOS = attrgetter("seconds", "nanos")


def _microseconds(stamp: tuple[int, int]) -> int:
    seconds, nanoseconds = stamp
    in_range = _FIRST_SECOND <= seconds <= _LAST_SECOND and 0 <= nanoseconds < 1_000_000_000
    return seconds * 1_000_000 + nanoseconds // 1_000 if in_range else OUT_OF_RANGE_US


def to_messages(columns: Sequence[Column], values: Columns, message_class: type[AnyMessage]) -> list[AnyMessage]:
    """Writes arrays of length `n` into `n` messages. Missing values leave their field unset."""
    length = len(values[columns[0].name])
    messages = [message_class() for _ in range(length)]
    for column in columns:
        present = ~is_missing(column, values[column.name])
        for row in np.flatnonzero(present):
            _write(column, messages[row], values[column.name][row])
    return messages


def _write(column: Column, message: Any, value: Any) -> None:
    if column.kind is Kind.TIMESTAMP:
        seconds, microseconds = divmod(int(value.astype(np.int64)), 1_000_000)
        getattr(message, column.name).FromDatetime(
            datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)
        )
    else:
        convert = {Kind.INTEGER: int, Kind.BOOLEAN: bool, Kind.NUMBER: float, Kind.TEXT: str}[column.kind]
        setattr(message, column.name, convert(value))


def is_missing(column: Column, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an array of the column's kind has no value. Infinities are values."""
    if column.kind is Kind.TEXT:
        return np.asarray(values == "", dtype=np.bool_)
    return np.asarray(np.isnat(values) if column.kind is Kind.TIMESTAMP else np.isnan(values))
