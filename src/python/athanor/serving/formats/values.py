"""Values of requests as columns hold them: every door that reads JSON or text reads it by these rules.

| kind    | is read from                                                                         |
|---------|--------------------------------------------------------------------------------------|
| number  | a number, or text that is one as JSON writes it, or "NaN", "Infinity", "-Infinity"    |
| integer | as number: 2004.0 is 2004                                                            |
| boolean | true, false, 1, 0                                                                    |
| text    | text without halves of surrogate pairs                                               |
| time    | text in RFC 3339 with its zone, as protobuf writes it                                |

null is missing for every kind, NaN for numbers, "" for text. What is read may still break the contract.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Column, Kind
from athanor.contract.messages import FIRST_US, OUT_OF_RANGE_US
from athanor.contract.shown import shown

# RFC 3339 as protobuf reads it: capitals, at most nanoseconds, no leap seconds, years from 1.
INSTANT_PATTERN: Final = (
    "^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_INSTANT: Final = re.compile(INSTANT_PATTERN)
_WITHOUT_ZONE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+)?")

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|NaN|-?Infinity")
# Every double can be written in fewer characters.
_LONGEST_NUMBER: Final = 1_100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FORMAT: Final = "give RFC 3339, 2013-01-01T10:15:00Z"

NOT_A_TIME_US: Final = np.datetime64("NaT", "us").astype(np.int64).item()
MISSING: Final[dict[Kind, Any]] = dict.fromkeys(Kind, math.nan) | {Kind.TEXT: "", Kind.TIMESTAMP: NOT_A_TIME_US}
"""What a reader's list holds where a value is missing."""

Read: TypeAlias = Callable[[Any], Any]
"""Reads one value; raises UnreadableError."""


class UnreadableError(ValueError):
    """A value cannot be read as one of its column. `args` holds the rule and the description."""

    @property
    def rule(self) -> str:
        return str(self.args[0])

    @property
    def description(self) -> str:
        return str(self.args[1])


def show(value: Any) -> str:
    """A JSON value for a message."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return shown(value)


def reader_of(column: Column) -> Read:
    """How values of a column other than null are read: as a float, as text, or as microseconds since 1970."""
    allowed = column.allowed
    match column.kind:
        case Kind.TEXT:
            return lambda value: read_text(value, allowed)
        case Kind.TIMESTAMP:
            return read_instant
        case Kind.BOOLEAN:
            return _read_boolean
    return lambda value: read_number(value, allowed)


def to_array(column: Column, values: list[Any]) -> NDArray[Any]:
    """What readers read, as the column's array."""
    if column.kind is Kind.TIMESTAMP:
        return np.array(values, dtype=np.int64).view("M8[us]")
    if column.kind is Kind.TEXT:
        # Numpy would look into each text for its length.
        array = np.empty(len(values), dtype=column.dtype)
        array[:] = values
        return array
    return column.round(np.array(values, dtype=column.dtype))


def read_number(value: Any, allowed: str) -> float:
    kind = type(value)
    if kind is float:
        return float(value)
    if kind is int:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if kind is str and len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value):
        return float(value)
    raise UnreadableError("TYPE", f"{show(value)} is not a number; give {allowed}")


def _read_boolean(value: Any) -> float:
    if isinstance(value, int | float):
        return read_number(float(value) if isinstance(value, bool) else value, "")
    raise UnreadableError("TYPE", f"{show(value)} is not a boolean; give true or false")


def read_text(value: Any, allowed: str = "text") -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise UnreadableError("ENCODING", "is not valid UTF-8") from None
    if not isinstance(value, str):
        raise UnreadableError("TYPE", f"{show(value)} is not text; give {allowed}")
    if not value.isascii():
        try:
            # JSON can carry half of a surrogate pair, which is not a character.
            value.encode()
        except UnicodeEncodeError:
            raise UnreadableError("ENCODING", "is not valid UTF-8") from None
    return value


def read_instant(value: Any) -> int:
    """Microseconds since 1970; an instant beyond the years 1 to 9999 as the first one after them."""
    text = read_text(value, "RFC 3339, 2013-01-01T10:15:00Z")
    if not text:
        return int(NOT_A_TIME_US)
    if len(text) > 40 or not _INSTANT.fullmatch(text):
        problem = "has no time zone" if _WITHOUT_ZONE.fullmatch(text[:40]) else "is not a time"
        raise UnreadableError("ENCODING", f"{shown(text)} {problem}; {_FORMAT}")
    try:
        us = (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    except ValueError:
        raise UnreadableError("ENCODING", f"{shown(text)} is not a time; {_FORMAT}") from None
    # An offset can move it out of the years.
    return us if FIRST_US <= us < OUT_OF_RANGE_US else OUT_OF_RANGE_US
