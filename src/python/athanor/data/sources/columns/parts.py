"""One schema for the parts of a table whose columns were typed part by part, as pandas does.

A column of whole numbers is a double in the part in which one is missing, and has no type where all are.
"""

from collections.abc import Mapping, Sequence
from functools import reduce

import pyarrow as pa

from athanor.data.sources.columns.types import is_text, plain_type
from athanor.errors import DataError


def unify(
    parts: Sequence[tuple[str, pa.Schema]], columns: Sequence[str], declared: Mapping[str, pa.DataType]
) -> pa.Schema:
    """The schema in which the values of every part are exact; columns in the order of `columns` or of the parts.

    Args:
        parts: schemas by the name of the part.
        columns: to read; all when empty.
        declared: types that are not unified. A part may lack such a column: it is null there.

    Raises:
        DataError: a column is absent from a part, or has types of which none holds the values of all.
    """
    names = columns or list(dict.fromkeys(name for _, schema in parts for name in schema.names))
    kinds, problems = dict(declared), []
    for name in names:
        try:
            kinds[name] = kinds.get(name) or _unify_column(name, parts)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("; ".join(problems))
    # A result that we wrote is one part.
    known = {name: parts[0][1].field(name) for name in names} if len(parts) == 1 else {}
    return pa.schema([known.get(name, pa.field(name, kinds[name])).with_type(kinds[name]) for name in names])


def _unify_column(name: str, parts: Sequence[tuple[str, pa.Schema]]) -> pa.DataType:
    kinds = {part: plain_type(schema.field(name).type) for part, schema in parts if name in schema.names}
    if absent := [part for part, _ in parts if part not in kinds]:
        present, kind = next(iter(kinds.items()))
        raise DataError(
            f"{absent[0]} has no column {name!r}, which {present} has. If it may be missing there, declare its type: "
            f"types={{{name!r}: {str(kind)!r}}}; otherwise leave it out by naming the others in `columns`"
        )
    common = reduce(_common, kinds.values())
    if common is None:
        (one, kind), (other, differing) = _first_two(kinds)
        raise DataError(
            f"column {name!r} is {kind} in {one} and {differing} in {other}; declare the type to read, such as "
            f"types={{{name!r}: 'string'}}, or leave the column out by naming the others in `columns`"
        )
    return common


def _first_two(kinds: Mapping[str, pa.DataType]) -> list[tuple[str, pa.DataType]]:
    """The first part, and the first one whose type has nothing in common with those before it."""
    items = [item for item in kinds.items() if not pa.types.is_null(item[1])]
    for end in range(2, len(items) + 1):
        if reduce(_common, (kind for _, kind in items[:end])) is None:
            return [items[0], items[end - 1]]
    raise ValueError("all have a type in common")


def _common(one: pa.DataType | None, other: pa.DataType) -> pa.DataType | None:
    """The narrowest type that holds the values of both, as far as types can tell; None without one."""
    if one is None or one == other or pa.types.is_null(one) or pa.types.is_null(other):
        return other if one is not None and pa.types.is_null(one) else one
    if is_text(one) and is_text(other):
        return pa.large_string() if pa.large_string() in (one, other) else pa.string()
    if pa.types.is_timestamp(one) and pa.types.is_timestamp(other):
        return _common_timestamp(one, other)
    if pa.types.is_integer(one) and pa.types.is_integer(other):
        is_mixed = pa.types.is_signed_integer(one) != pa.types.is_signed_integer(other)
        return pa.int64() if is_mixed else max(one, other, key=lambda kind: kind.bit_width)
    if _is_number(one) and _is_number(other):
        schemas = [pa.schema([("", kind)]) for kind in (one, other)]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    return None


def _common_timestamp(one: pa.TimestampType, other: pa.TimestampType) -> pa.DataType | None:
    """The finer unit; UTC for two zones. A time without a zone is no instant."""
    if (one.tz is None) != (other.tz is None):
        return None
    unit = max(one.unit, other.unit, key=["s", "ms", "us", "ns"].index)
    return pa.timestamp(unit, tz=one.tz if one.tz == other.tz else "UTC")


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
