"""Messages to arrays and back."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind

AnyMessage = TypeVar("AnyMessage", bound=Message)

# Timestamp's own range is 0001-01-01 to 9999-12-31. What lies outside reads as the first instant after it, which
# `validate` names as out of range, so that a wrong instant is neither an overflow nor a missing value.
_FIRST_SECOND = -62_135_596_800
_LAST_SECOND = 253_402_300_799
FIRST_US = _FIRST_SECOND * 1_000_000
OUT_OF_RANGE_US = (_LAST_SECOND + 1) * 1_000_000


def to_columns(columns: Sequence[Column], messages: Sequence[Message]) -> dict[str, NDArray[Any]]:
    """Reads `n` messages into arrays of length `n`, by column name. Values are taken as they are, valid or not.

    A field that is not set is missing: NaN, "" or NaT, as `Kind` says.
    """
    return {
        column.name: np.fromiter(map(_reader(column), messages), dtype=column.kind.dtype, count=len(messages))
        for column in columns
    }


def _reader(column: Column) -> Callable[[Any], Any]:
    name = column.name
    if column.kind is Kind.TEXT:
        return lambda message: getattr(message, name)
    if column.kind is Kind.TIMESTAMP:
        return lambda message: _microseconds(getattr(message, name)) if message.HasField(name) else _NOT_A_TIME

    def read_number(message: Any) -> float:
        value = getattr(message, name)
        # Presence costs as much as the value itself and matters only where the value is zero.
        return value if value or message.HasField(name) else np.nan

    return read_number


_NOT_A_TIME = np.datetime64("NaT", "us")


def _microseconds(stamp: Timestamp) -> np.datetime64:
    in_range = _FIRST_SECOND <= stamp.seconds <= _LAST_SECOND and 0 <= stamp.nanos < 1_000_000_000
    return np.datetime64(stamp.seconds * 1_000_000 + stamp.nanos // 1_000 if in_range else OUT_OF_RANGE_US, "us")


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
    """Where an array of a column's kind has no value. Infinities are values."""
    if column.kind is Kind.TEXT:
        return np.asarray(values == "", dtype=np.bool_)
    return np.asarray(np.isnat(values) if column.kind is Kind.TIMESTAMP else np.isnan(values))
