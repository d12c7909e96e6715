"""Rows from files: a JSON array, JSON lines or CSV."""

import csv
import enum
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from athanor.client.files.cells import CellError, set_cell
from athanor.errors import FieldViolation, InvalidRequestError, SettingsError

_LONGEST_LINE: Final = 1024 * 1024
_LONGEST_SHOWN: Final = 300


class RowFormat(enum.Enum):
    """Format of a file of rows."""

    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


_FORMATS: Final = {
    ".json": RowFormat.JSON,
    ".jsonl": RowFormat.JSONL,
    ".ndjson": RowFormat.JSONL,
    ".csv": RowFormat.CSV,
}


def format_of(path: Path) -> RowFormat:
    """Raises SettingsError if the file's suffix is unknown."""
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        names = ", ".join(_FORMATS)
        raise SettingsError(f"the name of {path} has no known format; give --format, or a name that ends in {names}")
    return found


def read_rows(stream: TextIO, name: str, form: RowFormat, row_class: Callable[[], Message]) -> Iterator[Message]:
    """Reads rows one by one; only a JSON array is read whole.

    Args:
        stream: UTF-8 text, opened with newline="" for CSV.
        name: of the file, for messages.
        row_class: message class of one row.

    Raises:
        InvalidRequestError: a row cannot be read; names the line.
    """
    read = {RowFormat.JSON: _read_array, RowFormat.JSONL: _read_lines, RowFormat.CSV: _read_csv}[form]
    try:
        yield from read(stream, name, row_class)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{name} is not UTF-8 text: {error.reason} at byte {error.start}") from None


def _read_array(stream: TextIO, name: str, row_class: Callable[[], Message]) -> Iterator[Message]:
    values = _parse_json(stream.read(), name)
    if not isinstance(values, list):
        raise InvalidRequestError(f"{name} is not a JSON array of rows")
    for position, value in enumerate(values):
        yield _to_row(value, f"{name}: row {position}", row_class)


def _read_lines(stream: TextIO, name: str, row_class: Callable[[], Message]) -> Iterator[Message]:
    number = 0
    while line := stream.readline(_LONGEST_LINE + 1):
        number += 1
        where = f"{name}: line {number}"
        if len(line) > _LONGEST_LINE:
            raise InvalidRequestError(f"{where} is longer than {_LONGEST_LINE} characters; give one row per line")
        if not line.isspace():
            yield _to_row(_parse_json(line, where), where, row_class)


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_to_object)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{where} is not JSON: {_short(str(error))}") from None


def _to_object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has one key twice")
    return found


def _to_row(value: Any, where: str, row_class: Callable[[], Message]) -> Message:
    row = row_class()
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{where} is not a JSON object of {row.DESCRIPTOR.full_name}")
    try:
        return json_format.ParseDict(value, row)
    # protobuf raises more than ParseError for a wrong value.
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidRequestError(f"{where} is not a {row.DESCRIPTOR.full_name}: {_short(str(error))}") from None


def _read_csv(stream: TextIO, name: str, row_class: Callable[[], Message]) -> Iterator[Message]:
    lines = csv.reader(stream, strict=True)
    fields: list[FieldDescriptor] | None = None
    try:
        for cells in lines:
            where = f"{name}: line {lines.line_num}"
            if not cells:
                continue
            if fields is None:
                fields = _find_fields(cells, where, row_class().DESCRIPTOR)
            else:
                yield _to_cells_row(cells, fields, where, row_class())
    except csv.Error as error:
        raise InvalidRequestError(f"{name}: line {lines.line_num} is not CSV: {error}") from None


def _find_fields(header: Sequence[str], where: str, row: Any) -> list[FieldDescriptor]:
    unknown = [column for column in header if column not in row.fields_by_name]
    if unknown:
        known = ", ".join(row.fields_by_name)
        raise InvalidRequestError(f"{where}: {row.full_name} has no column {_short(repr(unknown[0]))}; it has {known}")
    if len(set(header)) < len(header):
        repeated = next(column for column in header if header.count(column) > 1)
        raise InvalidRequestError(f"{where} has column {repeated} twice")
    return [row.fields_by_name[column] for column in header]


def _to_cells_row(cells: Sequence[str], fields: Sequence[FieldDescriptor], where: str, row: Message) -> Message:
    if len(cells) != len(fields):
        raise InvalidRequestError(f"{where} has {len(cells)} cells, but the header has {len(fields)}")
    wrong = []
    for field, text in zip(fields, cells, strict=True):
        try:
            set_cell(row, field, text)
        except CellError as allowed:
            said = (
                f"{where}, column {field.name}: {_short(repr(text))} is not allowed; give {allowed}, or leave it empty"
            )
            wrong.append(FieldViolation(field.name, "TYPE", said))
    if wrong:
        raise InvalidRequestError(f"{where} has {len(wrong)} invalid cells", tuple(wrong))
    return row


def _short(text: str) -> str:
    """The text on one line, cut if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"
