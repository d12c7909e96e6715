"""Messages to arrays and back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import nan
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.plans import once

AnyMessage = TypeVar("AnyMessage", bound=Message)

# Timestamp's own range is 0001-01-01 to 9999-12-31. An instant outside is read as the first one after it, which
# `validate` reports as out of range: a wrong instant neither overflows nor counts as missing.
_FIRST_SECOND = -62_135_596_800
_LAST_SECOND = 253_402_300_799
FIRST_US = _FIRST_SECOND * 1_000_000
OUT_OF_RANGE_US = (_LAST_SECOND + 1) * 1_000_000

_FEW_MESSAGES = 8


def to_columns(columns: Sequence[Column], messages: Sequence[Message]) -> dict[str, NDArray[Any]]:
    """Reads `n` messages into arrays of length `n`, by column name. Values are not validated.

    A field that is not set is missing: NaN, "" or NaT, as `Kind` says.
    """
    # A repeated field creates its messages anew on each iteration.
    return _make_reader(columns).read(list(messages))


@dataclass(frozen=True)
class _Reader:
    """Reads the columns of a kind into one array, and few messages with all columns at once: half the time for one."""

    numbers: tuple[str, ...]
    instants: tuple[str, ...]
    texts: tuple[str, ...]

    def read(self, messages: list[Message]) -> dict[str, NDArray[Any]]:
        """Each column is a view of the array of its kind."""
        first, last = len(self.numbers), len(self.numbers) + len(self.instants)
        values = self._read_values(messages)
        for position, name in enumerate(self.numbers):
            # Reading presence costs more than reading the value, and matters only where the value is zero.
            if not all(values[position]):
                values[position] = _mark_missing(name, values[position], messages, nan)
        for position, name in enumerate(self.instants, first):
            instants = list(map(_microseconds, map(_SECONDS_AND_NANOS, values[position])))
            values[position] = instants if all(instants) else _mark_missing(name, instants, messages, _NOT_A_TIME)
        read = dict(zip(self.numbers, np.array(values[:first], np.float64), strict=True))
        read.update(zip(self.instants, np.array(values[first:last], np.int64).view("M8[us]"), strict=True))
        read.update(zip(self.texts, np.array(values[last:], np.object_), strict=True))
        return read

    def _read_values(self, messages: list[Message]) -> list[Sequence[Any]]:
        if 0 < len(messages) <= _FEW_MESSAGES:
            return list(zip(*map(self._values_of, messages), strict=True))
        return [list(map(attrgetter(name), messages)) for name in self._names]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return (*self.numbers, *self.instants, *self.texts)

    @cached_property
    def _values_of(self) -> Callable[[Message], tuple[Any, ...]]:
        # Of one name `attrgetter` makes no tuple.
        return attrgetter(*self._names) if len(self._names) > 1 else lambda message: (getattr(message, *self._names),)


@once
def _make_reader(columns: Sequence[Column]) -> _Reader:
    numbers = tuple(column.name for column in columns if column.kind.is_numeric)
    instants = tuple(column.name for column in columns if column.kind is Kind.TIMESTAMP)
    texts = tuple(column.name for column in columns if column.kind is Kind.TEXT)
    return _Reader(numbers, instants, texts)


def _mark_missing(name: str, values: Sequence[Any], messages: list[Message], missing: float) -> Sequence[Any]:
    return [v if v or message.HasField(name) else missing for v, message in zip(values, messages, strict=True)]


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
