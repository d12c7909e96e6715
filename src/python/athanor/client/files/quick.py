"""Quick checks of rows. They accept only readable rows, but not all of these; `rows` and `cells` decide on the rest."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

Fits: TypeAlias = Callable[[Any], bool]

_SEPARATOR: Final = "\x1f"
_TIME: Final = (
    r"(?!0000)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|\+00:00)"
)
_NUMBER: Final = r"[+-]?\d{1,30}(?:\.\d{1,30})?"
_CELLS: Final = {
    FieldDescriptor.TYPE_BOOL: "true|false|[01]",
    FieldDescriptor.TYPE_DOUBLE: _NUMBER,
    FieldDescriptor.TYPE_FLOAT: _NUMBER,
    FieldDescriptor.TYPE_INT32: r"-?\d{1,9}(?:\.0)?",
    FieldDescriptor.TYPE_UINT32: r"\d{1,9}(?:\.0)?",
    FieldDescriptor.TYPE_STRING: f"[^{_SEPARATOR}]*",
}
_IS_TIME: Final = re.compile(_TIME, re.ASCII)
_JSON: Final[dict[int, Fits]] = {
    FieldDescriptor.TYPE_BOOL: lambda value: type(value) is bool,
    FieldDescriptor.TYPE_DOUBLE: lambda value: type(value) in (int, float) and abs(value) < 1e30,
    FieldDescriptor.TYPE_FLOAT: lambda value: type(value) in (int, float) and abs(value) < 1e30,
    FieldDescriptor.TYPE_INT32: lambda value: type(value) is int and abs(value) < 2**31,
    FieldDescriptor.TYPE_UINT32: lambda value: type(value) is int and 0 <= value < 2**32,
    FieldDescriptor.TYPE_STRING: lambda value: type(value) is str and value.isascii(),
}


def fits_cells(fields: Sequence[FieldDescriptor]) -> Fits:
    """Whether the cells of a line, in the order of their fields, can certainly be read."""
    # One match for the whole line: a quarter of the time of one for each cell.
    line = re.compile(_SEPARATOR.join(f"(?:{_cell(field)})?" for field in fields), re.ASCII).fullmatch
    count = len(fields)
    return lambda cells: len(cells) == count and line(_SEPARATOR.join(cells)) is not None


def _cell(field: FieldDescriptor) -> str:
    # Nothing but an empty cell fits a field of another type.
    return _TIME if _is_time(field) else _CELLS.get(field.type, "") if not field.is_repeated else ""


def fits_json(row: Any) -> Fits:
    """Whether a JSON value can certainly be read as a row. All its keys are names, or all are JSON names."""
    by_name = {field.name: _value(field) for field in row.fields}
    by_json_name = {field.json_name: _value(field) for field in row.fields}

    def fits(value: Any) -> bool:
        if type(value) is not dict:
            return False
        known = by_name if value.keys() <= by_name.keys() else by_json_name
        return value.keys() <= known.keys() and all(held is None or known[name](held) for name, held in value.items())

    return fits


def fits_line(row: Any) -> Fits:
    """Whether a line of JSON can certainly be read as a row."""
    fits_row = fits_json(row)

    def fits(line: Any) -> bool:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return False
        # As many names as keys: none occurs twice.
        return fits_row(value) and line.count('":') == len(value)

    return fits


def _value(field: FieldDescriptor) -> Fits:
    if field.is_repeated:
        return _never
    if _is_time(field):
        return lambda value: type(value) is str and _IS_TIME.fullmatch(value) is not None
    return _JSON.get(field.type, _never)


def _is_time(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp"


def _never(value: Any) -> bool:
    return False
