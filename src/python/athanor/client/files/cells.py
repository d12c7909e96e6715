"""Cells of CSV files as values of a row's fields."""

import math
import re
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_TIMESTAMP: Final = "google.protobuf.Timestamp"

# Python alone would accept "1_000", " 1" and digits of any script.
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?", re.ASCII)
# pandas writes whole numbers with ".0" if a value of the column is missing.
_WHOLE: Final = re.compile(r"([+-]?\d{1,20})(?:\.0*)?", re.ASCII)
_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


class CellError(ValueError):
    """A cell that is not a value of its column. The message says what is allowed."""


def set_cell(row: Message, field: FieldDescriptor, text: str) -> None:
    """Sets a field of a row to the value of a cell; "" means missing and sets nothing.

    Raises:
        CellError: the text is not a value of the field.
    """
    if not text:
        return
    if field.message_type is not None and field.message_type.full_name == _TIMESTAMP:
        _set_timestamp(getattr(row, field.name), text)
        return
    read, allowed = _READERS.get(field.cpp_type, (None, ""))
    if read is None or field.is_repeated or field.type == FieldDescriptor.TYPE_BYTES:
        raise CellError("this column in JSON lines, as no cell can hold it")
    try:
        setattr(row, field.name, read(text))
    except (ValueError, TypeError):
        raise CellError(allowed) from None
    value = getattr(row, field.name)
    if isinstance(value, float) and math.isinf(value):  # too large for the field's 32 bits
        raise CellError(allowed)


def _set_timestamp(timestamp: Any, text: str) -> None:
    try:
        if _RFC_3339.fullmatch(text):
            timestamp.FromJsonString(text)
            return
    except ValueError:
        pass
    raise CellError("an RFC 3339 timestamp such as 2013-12-24T22:15:00Z")


def _read_number(text: str) -> float:
    if _NUMBER.fullmatch(text) is None or not math.isfinite(value := float(text)):
        raise ValueError(text)
    return value


def _read_whole(text: str) -> int:
    found = _WHOLE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return int(found[1])


def _read_boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError(text) from None


_READERS: Final[dict[int, tuple[Callable[[str], Any], str]]] = {
    FieldDescriptor.CPPTYPE_BOOL: (_read_boolean, "true or false"),
    FieldDescriptor.CPPTYPE_DOUBLE: (_read_number, "a finite number"),
    FieldDescriptor.CPPTYPE_FLOAT: (_read_number, "a finite 32-bit number"),
    FieldDescriptor.CPPTYPE_INT32: (_read_whole, "a whole number from -2147483648 to 2147483647"),
    FieldDescriptor.CPPTYPE_INT64: (_read_whole, "a 64-bit whole number"),
    FieldDescriptor.CPPTYPE_STRING: (str, "text"),
    FieldDescriptor.CPPTYPE_UINT32: (_read_whole, "a whole number from 0 to 4294967295"),
    FieldDescriptor.CPPTYPE_UINT64: (_read_whole, "a 64-bit whole number, not negative"),
}
