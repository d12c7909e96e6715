"""Rows from files: a JSON array, JSON lines or CSV."""

import csv
import enum
import io
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final, ParamSpec, TextIO, TypeAlias, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from athanor.client.files import quick
from athanor.client.files.cells import CellError, set_cell
from athanor.errors import FieldViolation, InvalidRequestError, SettingsError

_LONGEST_LINE: Final = 1024 * 1024
_LONGEST_SHOWN: Final = 300
_MOST_NAMED: Final = 1_000
_CHECKED_AT_ONCE: Final = 10_000


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


class _CountedBytes(io.BufferedIOBase):
    """Bytes that count themselves and their lines, also where they come from a pipe."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._position = 0
        self.lines = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read1(self, size: int = -1, /) -> bytes:
        content = self._source.read1(size)  # type: ignore[attr-defined]  # every buffered source has it
        self._position += len(content)
        self.lines += content.count(b"\n")
        return bytes(content)

    def read(self, size: int | None = -1, /) -> bytes:
        return b"".join(iter(self.read1, b"")) if size is None or size < 0 else self.read1(size)


def open_text(source: BinaryIO) -> io.TextIOWrapper:
    """UTF-8 text whatever the locale, without the byte order mark that spreadsheets write."""
    counted: Any = _CountedBytes(source)
    return io.TextIOWrapper(counted, encoding="utf-8-sig", newline="")


def read_rows(stream: TextIO, name: str, form: RowFormat, row_class: Callable[[], Message]) -> Iterator[Message]:
    """Reads rows one by one; only a JSON array is read whole.

    After the first row that cannot be read, it reads on to find the others, and yields no more.

    Args:
        stream: UTF-8 text, opened by `open_text` or with newline="" for CSV.
        name: of the file, for messages.
        row_class: message class of one row.

    Raises:
        InvalidRequestError: rows cannot be read; names their lines.
    """
    found = Unreadable(name)
    for each in _read(stream, name, form, row_class, skims=False):
        if isinstance(each, InvalidRequestError):
            found.add(each)
        elif each is not None and not found.count:
            yield each
    found.refuse()


def check_rows(stream: TextIO, name: str, form: RowFormat, row_class: Callable[[], Message]) -> Iterator[int]:
    """Reads a file without making rows of what can be read: a million lines of CSV in 4 s, where reading takes 43 s.

    Args:
        As `read_rows`.

    Yields:
        The number of rows so far, from time to time.

    Raises:
        As `read_rows`.
    """
    found = Unreadable(name)
    for number, each in enumerate(_read(stream, name, form, row_class, skims=True), 1):
        if isinstance(each, InvalidRequestError):
            found.add(each)
        if number % _CHECKED_AT_ONCE == 0:
            yield number
    found.refuse()


class Unreadable:
    """The rows of a file that cannot be read; it keeps the errors of the first thousand."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name
        self._errors: list[InvalidRequestError] = []

    def add(self, error: InvalidRequestError) -> None:
        self.count += 1
        if len(self._errors) < _MOST_NAMED:
            self._errors.append(error)

    def refuse(self) -> None:
        """Raises InvalidRequestError if there are any."""
        if self.count == 1:
            raise self._errors[0]
        if self.count:
            violations = (error.violations or (FieldViolation("", "ROW", str(error)),) for error in self._errors)
            left = f"; these are the first {_MOST_NAMED:,}" if self.count > _MOST_NAMED else ""
            message = f"{self._name}: {self.count:,} rows cannot be read{left}"
            raise InvalidRequestError(message, tuple(chain.from_iterable(violations)))


_Read: TypeAlias = Iterator[Message | InvalidRequestError | None]


def _read(stream: TextIO, name: str, form: RowFormat, row_class: Callable[[], Message], *, skims: bool) -> _Read:
    """Rows, and the errors of those that cannot be read; None in the place of a row if `skims`."""
    read = {RowFormat.JSON: _read_array, RowFormat.JSONL: _read_lines, RowFormat.CSV: _read_csv}[form]
    try:
        yield from read(stream, name, row_class, skims)
    except UnicodeDecodeError as error:
        where = _locate(stream, error)
        yield InvalidRequestError(f"{name} is not UTF-8 text: {error.reason} at {where}; save it as UTF-8")
    except InvalidRequestError as error:
        # The rest of the file cannot be split into rows.
        yield error


def _locate(stream: TextIO, error: UnicodeDecodeError) -> str:
    """The byte in the file: the error counts from the beginning of what was decoded last."""
    source: Any = stream.buffer
    rest = error.object[error.start :]
    byte = f"byte {source.tell() - len(rest)}"
    return f"{byte}, line {source.lines - rest.count(10) + 1}" if isinstance(source, _CountedBytes) else byte


def _read_array(stream: TextIO, name: str, row_class: Callable[[], Message], skims: bool) -> _Read:
    values = _parse_json(stream.read(), name, lambda error: f"line {error.lineno}, column {error.colno}")
    if not isinstance(values, list):
        raise InvalidRequestError(f"{name} is not a JSON array of rows")
    fits = quick.fits_json(row_class().DESCRIPTOR) if skims else None
    for position, value in enumerate(values):
        yield None if fits and fits(value) else _try(_to_row, value, f"{name}: row {position}", row_class)


def _read_lines(stream: TextIO, name: str, row_class: Callable[[], Message], skims: bool) -> _Read:
    fits = quick.fits_line(row_class().DESCRIPTOR) if skims else None
    number = 0
    while line := stream.readline(_LONGEST_LINE + 1):
        number += 1
        where = f"{name}: line {number}"
        if len(line) > _LONGEST_LINE:
            raise InvalidRequestError(f"{where} is longer than {_LONGEST_LINE} characters; give one row per line")
        if not line.isspace():
            yield None if fits and fits(line) else _try(_read_line, line, where, row_class)


def _read_line(line: str, where: str, row_class: Callable[[], Message]) -> Message:
    return _to_row(_parse_json(line, where, lambda error: f"column {error.colno}"), where, row_class)


_Made = TypeVar("_Made")
_Given = ParamSpec("_Given")


def _try(make: Callable[_Given, _Made], *given: _Given.args, **named: _Given.kwargs) -> _Made | InvalidRequestError:
    try:
        return make(*given, **named)
    except InvalidRequestError as error:
        return error


def _parse_json(text: str, where: str, locate: Callable[[json.JSONDecodeError], str]) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_to_object)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"{where} is not JSON: {error.msg} at {locate(error)}") from None
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


def _read_csv(stream: TextIO, name: str, row_class: Callable[[], Message], skims: bool) -> _Read:
    lines = csv.reader(stream, strict=True)
    fields: list[FieldDescriptor] | None = None
    fits = None
    try:
        for cells in lines:
            if not cells:
                continue
            if fits and fits(cells):
                yield None
                continue
            where = f"{name}: line {lines.line_num}"
            if fields is None:
                fields = _find_fields(cells, where, row_class().DESCRIPTOR)
                fits = quick.fits_cells(fields) if skims else None
            else:
                yield _try(_to_cells_row, cells, fields, where, row_class())
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
