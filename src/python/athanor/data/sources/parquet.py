"""Parquet files as sources, and as the format in which rows from databases and functions are kept."""

from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from athanor.contract.shown import shown
from athanor.data.sources.batches import Batches, read_ahead, rebatch
from athanor.data.sources.columns.parts import unify
from athanor.data.sources.columns.types import (
    as_untyped,
    cast_columns,
    plain,
    read_types,
    require_types,
    require_utf8,
    untyped_columns,
)
from athanor.data.sources.files import Location, copy_files, list_files, name_of
from athanor.data.sources.folders.delta import is_delta, read_delta
from athanor.data.sources.folders.hive import Constants, add_constants, read_partitions
from athanor.data.sources.source import Opened, Unfit, UnreadRows
from athanor.data.sources.times import open_parquet, require_dates, require_instants, storable
from athanor.errors import DataError
from athanor.system.named_errors import naming

RESULT: Final = "result.parquet"
"""The file that holds rows which did not come from a file."""

_GROUP_ROWS: Final = 32_768


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files as one table in the order of their names; or a Delta table's latest version.

    A column has one type throughout: a declared one, or the narrowest that holds the values of all files exactly, such
    as double for whole numbers here and others there. Files may have their columns in different orders. A file may lack
    a column whose type is declared: it is null there. Types that have nothing in common are refused by name.

    Folders named `year=2012` hold a column `year`, the last of the table. Its type is inferred as for text in delimited
    files: `month=07` is 7 unless `types` declares text.

    Attributes:
        path: see `DelimitedFiles`.
        columns: names of the columns to read; all when empty. Others are not decompressed.
        types: column types by name; see `DelimitedFiles`. A text is parsed, a time without a zone becomes one of the
            declared zone, and a row with a value that the type cannot hold is rejected, named and counted.

    Raises:
        SettingsError: a type is not valid.

    >>> pq.write_table(pa.table({"sensor": ["a", "b"], "level": [1.5, None]}), "levels.parquet")
    >>> source = ParquetFiles("levels.parquet", columns=("level",))
    >>> source.fetch(Path("raw"), since=None)
    >>> [table.to_pydict() for table, _ in source.open(Path("raw"), batch_rows=1000).batches]
    [{'level': [1.5, None]}]
    """

    path: Location = field(repr=False)
    columns: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_types(self.types, self.columns)

    @property
    def is_incremental(self) -> bool:
        return False

    def fetch(self, folder: Path, since: datetime | None) -> None:
        copy_files(self.path, folder, reads_delta=True)

    def open(self, folder: Path, batch_rows: int) -> Opened:
        return open_rows(folder, batch_rows, self.columns, read_types(self.types))


def write_rows(tables: Iterable[pa.Table], path: Path) -> None:
    """Writes tables of one schema as one file; the same rows give the same bytes, however they are batched.

    Raises:
        DataError: there is no table, hence no columns; two columns have the same name; or Parquet lacks a type.
    """
    if not _write(tables, path):
        raise DataError(
            "the source returned no table; if there are no rows, return an empty table, so that its columns are known"
        )


def _write(tables: Iterable[pa.Table], path: Path) -> bool:
    """Whether there was a table."""
    writer: pq.ParquetWriter | None = None
    try:
        for rows, _ in rebatch(((table, 0) for table in tables), _GROUP_ROWS):
            stored = storable(rows)
            with naming(path):
                if writer is None:
                    writer = _open_writer(path, stored.schema)
                _write_group(writer, stored)
    finally:
        if writer is not None:
            with naming(path):
                writer.close()
    return writer is not None


def _open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    require_single(schema.names, "the table")
    try:
        return pq.ParquetWriter(path, schema, compression="zstd")
    except pa.ArrowNotImplementedError as error:
        path.unlink(missing_ok=True)
        raise DataError(
            f"a column has a type that Parquet cannot store: {error}; cast it to text or a number"
        ) from None


def _write_group(writer: pq.ParquetWriter, rows: pa.Table) -> None:
    try:
        writer.write_table(rows.combine_chunks(), row_group_size=_GROUP_ROWS)
    except pa.ArrowInvalid as error:
        raise DataError(f"Parquet cannot store a value: {error}; cast its column to text or a number") from None


def require_single(names: Iterable[str], what: str) -> None:
    """Raises DataError if a column name occurs twice."""
    seen = list(names)
    if twice := sorted({name for name in seen if seen.count(name) > 1}):
        raise DataError(f"{what} has duplicate columns: {', '.join(map(repr, twice))}; rename them")


@dataclass(frozen=True)
class _Part:
    """A file.

    Attributes:
        name: its path below the source's folder.
        constants: columns that are not in the file, and those in the names of its folders.
    """

    path: Path
    name: str
    rows: int
    constants: Constants


def open_rows(
    folder: Path, batch_rows: int, columns: Sequence[str] = (), types: Mapping[str, pa.DataType] = MappingProxyType({})
) -> Opened:
    """All Parquet files below a folder, whose size is in rows, as one stream of some or all columns.

    Args:
        types: declared types. Other columns have the type that holds the values of all files.

    Raises:
        DataError: a file is not Parquet, lacks a column, or its types have nothing in common with another's.
    """
    known, parts = _open_delta(folder) if is_delta(folder) else _open_files(folder, columns, types)
    for said, wanted in (("columns names", columns), ("types declares", types)):
        if absent := [name for name in wanted if name not in known.names]:
            where = parts[0].name if parts else "the table"
            raise DataError(f"{said} {absent}; {where} has columns {known.names}")
    schema = pa.schema(
        [pa.field(name, types[name]) if name in types else known.field(name) for name in columns or known.names]
    )
    unread: deque[UnreadRows] = deque()
    tables = read_ahead(_read_groups(parts, schema, types, unread, batch_rows))
    return Opened(sum(part.rows for part in parts), rebatch(tables, batch_rows), unread)


def _open_files(
    folder: Path, columns: Sequence[str], types: Mapping[str, pa.DataType]
) -> tuple[pa.Schema, list[_Part]]:
    """The files; a column with a declared type that a file lacks is null in it."""
    files = list_files(folder)
    names = [name_of(path, folder) for path in files]
    footers = [_read_footer(path, name) for path, name in zip(files, names, strict=True)]
    partitions = read_partitions(names, types)
    parts, schemas = [], []
    for path, name, (rows, found), partition in zip(files, names, footers, partitions, strict=True):
        schemas.append((name, add_constants(found.empty_table(), partition, name).schema))
        absent = {key: pa.scalar(None, kind) for key, kind in types.items() if key not in schemas[-1][1].names}
        parts.append(_Part(path, name, rows, {**absent, **partition}))
    stored = {name for _, schema in schemas for name in schema.names}
    known = unify(schemas, [name for name in columns if name in stored], types)
    return known, parts


def _open_delta(folder: Path) -> tuple[pa.Schema, list[_Part]]:
    """The files of a Delta table; a column that was added after a file was written is null in it."""
    schema, files = read_delta(folder)
    parts = []
    for name, partition in files.items():
        rows, found = _read_footer(folder / name, name)
        absent = {field.name: pa.scalar(None, field.type) for field in schema if field.name not in found.names}
        parts.append(_Part(folder / name, name, rows, {**absent, **partition}))
    return schema, parts


def _read_footer(path: Path, name: str) -> tuple[int, pa.Schema]:
    try:
        with open_parquet(path) as file:
            return file.metadata.num_rows, _plain_schema(file.schema_arrow)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name} is not a Parquet file: {error}") from None


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    """Names and types only, without the writer's metadata other than ours."""
    examples = untyped_columns(schema)
    fields = [pa.field(field.name, field.type) for field in schema]
    return pa.schema([as_untyped(field, examples[field.name]) if field.name in examples else field for field in fields])


def _read_groups(
    parts: Iterable[_Part],
    schema: pa.Schema,
    declared: Container[str],
    unread: deque[UnreadRows],
    batch_rows: int,
) -> Batches:
    yield schema.empty_table(), 0
    types = {field.name: field.type for field in schema}
    for part in parts:
        try:
            with open_parquet(part.path) as file:
                stored, before = [name for name in schema.names if name in file.schema_arrow.names], 0
                require_instants(part.path, part.name, stored)
                for batch in file.iter_batches(min(batch_rows, _GROUP_ROWS), columns=stored):
                    table = pa.Table.from_batches([batch])
                    require_dates(table, part.name, before)
                    table = plain(add_constants(table, part.constants, part.name).select(schema.names))
                    require_utf8(
                        table.select([name for name in schema.names if types[name] != pa.binary()]),
                        part.name,
                        before + 1,
                    )
                    read, unfit = cast_columns(table, types, before + 1)
                    if unfit:
                        _require_declared(part, table, unfit, declared)
                        unread.append(UnreadRows(part.name, unfit))
                    yield read.cast(schema), len(batch)
                    before += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{part.name} cannot be read: {error}") from None


def _require_declared(part: _Part, table: pa.Table, unfit: Iterable[Unfit], declared: Container[str]) -> None:
    """Raises DataError if a value is fine, but the type that the files have in common cannot hold it exactly."""
    for found in unfit:
        if found.column not in declared:
            kind = table.schema.field(found.column).type
            raise DataError(
                f"{part.name}, row {found.rows[0]:,}: column {found.column!r}: {shown(found.values[0])} of type {kind} "
                f"cannot be held exactly by {found.kind}, which other files need; declare the type to read, such as "
                f"types={{{found.column!r}: {str(kind)!r}}}"
            )
