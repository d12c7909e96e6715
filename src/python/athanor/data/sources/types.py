"""Types of columns: as pyarrow names them, and without those that only Arrow knows."""

import pyarrow as pa
import pyarrow.compute as pc


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
