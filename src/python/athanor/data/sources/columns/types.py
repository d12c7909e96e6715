"""Types of columns: declared, cast to value by value, and without those that only Arrow knows."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athanor.contract.shown import shown
from athanor.data.sources.source import Unfit
from athanor.errors import DataError, SettingsError

_NAIVE: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:?\d\d(:?\d\d([.,]\d+)?)?")
_UNTYPED: Final = b"athanor.untyped"
_MINUTE: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:?[0-5]\d(:?[0-5]\d(\.\d+)?)?"
_LOOKS: Final = tuple(
    rf"^\s*({pattern})\s*$"
    for pattern in (
        r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?",
        rf"{_MINUTE}(Z|[+-]\d\d:?\d\d)",
        rf"\d{{4}}-\d\d-\d\d|{_MINUTE}",
        r"(?i:true|false)",
    )
)
_WHOLE: Final = r"^([+-]?\d+)\.0*$"
_LEAP: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:?\d\d:?60(\D.*)?")


def read_types(types: Mapping[str, str]) -> dict[str, pa.DataType]:
    """The declared types by column. Raises SettingsError if one is not valid."""
    return {name: _read_type(name, declared) for name, declared in types.items()}


def require_types(types: Mapping[str, str], columns: Sequence[str]) -> None:
    """Raises SettingsError if a declared type is not valid, or one of a column that is not read."""
    read_types(types)
    if columns and (unread := sorted(set(types) - set(columns))):
        raise SettingsError(f"types declares {unread}, which columns leaves out; it reads {list(columns)}")


def _read_type(name: str, declared: str) -> pa.DataType:
    if zoned := re.fullmatch(r"timestamp\[(s|ms|us|ns), ?tz=([\w/+:-]+)\]", declared):
        return pa.timestamp(zoned[1], tz=zoned[2])
    if decimal := re.fullmatch(r"decimal128\((\d+), ?(\d+)\)", declared):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    try:
        return pa.type_for_alias(declared)
    except ValueError:
        raise SettingsError(
            f"types[{name!r}] is {declared!r}, which is not a type; use string, bool, int64, float64, date32, "
            "timestamp[us], timestamp[us, tz=UTC] or another of pyarrow's names"
        ) from None


def require_utf8(table: pa.Table, where: str, first_row: int) -> None:
    """Raises DataError if a text is not UTF-8, as from a writer that did not check: pandas could not read it."""
    for field in table.schema:
        if not is_text(field.type):
            continue
        try:
            table[field.name].validate(full=True)
        except pa.ArrowInvalid:
            values = enumerate(table[field.name].cast(pa.large_binary()).to_pylist(), first_row)
            row, value = next((row, value) for row, value in values if value is not None and not _is_utf8(value))
            raise DataError(
                f"{where}, row {row:,}: column {field.name!r} has {shown(value)}, which is not UTF-8; correct it, or "
                f"declare bytes and decode them in the transform: types={{{field.name!r}: 'binary'}}"
            ) from None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def cast(column: pa.ChunkedArray, kind: pa.DataType) -> tuple[pa.ChunkedArray, NDArray[np.int64]]:
    """The column in another type, and the positions of the values that it cannot hold exactly, which become null.

    A time without a zone becomes an instant of the zone of `kind`. Whitespace around a number or time does not count.

    Raises:
        pa.ArrowNotImplementedError: no value of one type is a value of the other, such as a list and a number.
    """
    if pa.types.is_null(kind):
        return pa.chunked_array([pa.nulls(len(column))]), np.flatnonzero(column.is_valid().to_numpy())
    convert = _converter(column.type, kind)
    try:
        return convert(column), np.empty(0, dtype=np.int64)
    except pa.ArrowInvalid:
        encoded = column.combine_chunks().dictionary_encode()
    distinct = encoded.dictionary
    unfit = pa.array(_find_unfit(distinct, convert), pa.int64())
    is_unfit = pc.is_in(pa.array(range(len(distinct))), unfit)
    converted = convert(pc.if_else(is_unfit, pa.scalar(None, distinct.type), distinct))
    rows = np.flatnonzero(pc.is_in(encoded.indices.cast(pa.int64()), unfit).to_numpy(zero_copy_only=False))
    return pa.chunked_array([converted.take(encoded.indices)], kind), rows


def _converter(given: pa.DataType, kind: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_timestamp(given) and pa.types.is_timestamp(kind) and kind.tz and not given.tz:
        return lambda values: pc.cast(pc.assume_timezone(values, kind.tz), kind)
    if is_text(given) and pa.types.is_integer(kind):
        # As pandas writes whole numbers of a column with missing ones.
        return lambda values: pc.cast(pc.replace_substring_regex(pc.utf8_trim_whitespace(values), _WHOLE, r"\1"), kind)
    if is_text(given) and not is_text(kind) and not pa.types.is_binary(kind):
        return lambda values: pc.cast(pc.utf8_trim_whitespace(values), kind)
    return lambda values: pc.cast(values, kind)


def count_typed(texts: pa.ChunkedArray) -> tuple[int, int, int]:
    """How many texts look like values of one kind: numbers, instants, times without a zone or truth values; the most.

    Also how many do not, and the first row that does not.
    """
    looks = [pc.match_substring_regex(texts, pattern) for pattern in _LOOKS]
    counts = [pc.sum(look).as_py() or 0 for look in looks]
    most = max(counts)
    return most, len(texts) - texts.null_count - most, pc.index(looks[counts.index(most)], False).as_py()


def as_untyped(field: pa.Field, example: str) -> pa.Field:
    """A field of text without a declared type, of which most values are numbers, times or truth values.

    Args:
        example: a value of another kind, and where it stands.
    """
    return field.with_metadata({_UNTYPED: example.encode()})


def untyped_columns(schema: pa.Schema) -> dict[str, str]:
    """The examples of `as_untyped` by column."""
    return {field.name: field.metadata[_UNTYPED].decode() for field in schema if _UNTYPED in (field.metadata or {})}


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _find_unfit(values: pa.Array, convert: Callable[[Any], Any], start: int = 0) -> list[int]:
    """Positions of the values that cannot be converted, by halving: Arrow names none of them."""
    try:
        convert(values)
    except pa.ArrowInvalid:
        middle = len(values) // 2
        if not middle:
            return [start]
        return _find_unfit(values[:middle], convert, start) + _find_unfit(values[middle:], convert, start + middle)
    return []


def problem(value: Any, kind: pa.DataType) -> str:
    """What is wrong with a value that `cast` cannot convert."""
    is_instant = pa.types.is_timestamp(kind) and kind.tz
    if is_instant and isinstance(value, str) and _NAIVE.fullmatch(value.strip()):
        return f"{shown(value)} has no time zone; append one, such as Z for UTC or +01:00"
    if pa.types.is_timestamp(kind) and isinstance(value, str) and _LEAP.fullmatch(value.strip()):
        return f"{shown(value)} is a leap second, which is no {kind}; give a second of 0 to 59"
    if pa.types.is_timestamp(kind) and kind.unit == "ns" and isinstance(value, str):
        microseconds = pa.timestamp("us", tz=kind.tz)
        if not len(cast(pa.chunked_array([[value]]), microseconds)[1]):
            return f"{shown(value)} is outside of the years 1677 to 2262 of nanoseconds; declare {microseconds}"
    words = next((words for is_kind, words in _WORDS if is_kind(kind)), str(kind))
    return f"{shown(value)} is not {words}"


_WORDS: Final = (
    (pa.types.is_floating, "a number"),
    (pa.types.is_integer, "a whole number such as 17"),
    (pa.types.is_boolean, "true or false"),
    (lambda kind: pa.types.is_timestamp(kind) and kind.tz, "an instant such as 2013-05-01T17:30:00Z"),
    (pa.types.is_timestamp, "a time such as 2013-05-01T17:30:00"),
)


def plain(table: pa.Table) -> pa.Table:
    """The same values without dictionaries and extension types; UUIDs become text such as "6fa4…-…".

    The dictionary of a batch holds the values of that batch: the type of the column would depend on it.
    """
    for position, field in enumerate(table.schema):
        kind = plain_type(field.type)
        if kind != field.type:
            table = table.set_column(position, field.name, _to_plain(table.column(position), kind))
    return table


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the column that `plain` returns for one of this type."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if not isinstance(kind, pa.BaseExtensionType) or _is_pandas(kind):
        return kind
    if isinstance(kind, pa.UuidType):
        return pa.string()
    return pa.bool_() if isinstance(kind, pa.Bool8Type) else kind.storage_type


def _is_pandas(kind: pa.BaseExtensionType) -> bool:
    """Whether pandas has a dtype for it, as for its own periods and intervals."""
    try:
        kind.to_pandas_dtype()
    except NotImplementedError:
        return False
    return True


def _to_plain(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type).cast(kind)
    if isinstance(column.type, pa.UuidType):
        return pa.chunked_array([[value and str(value) for value in column.to_pylist()]], kind)
    return pc.cast(pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type), kind)


def cast_columns(
    table: pa.Table, types: Mapping[str, pa.DataType], first_row: int
) -> tuple[pa.Table, tuple[Unfit, ...]]:
    """The table with some columns cast, without the rows that have a value that its type cannot hold; and these.

    Args:
        first_row: the number of the table's first row in its file.

    Raises:
        DataError: no value of a column's type is a value of the type to cast to.
    """
    found: list[Unfit] = []
    for name, kind in types.items():
        column = table[name]
        if column.type == kind:
            continue
        try:
            converted, rows = cast(column, kind)
        except pa.ArrowNotImplementedError:
            raise DataError(f"column {name!r} is {column.type}, which cannot be read as {kind}") from None
        if len(rows):
            found.append(Unfit(name, kind, rows + first_row, column.take(pa.array(rows)).to_pylist()))
        table = table.set_column(table.schema.get_field_index(name), name, converted)
    if found:
        kept = np.ones(table.num_rows, dtype=np.bool_)
        for unfit in found:
            kept[unfit.rows - first_row] = False
        table = table.filter(pa.array(kept))
    return table, tuple(found)
