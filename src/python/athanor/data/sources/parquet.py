"""Parquet files as sources, and as the format in which rows from databases and functions are kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from athanor.data.sources.batches import Batches, read_ahead, rebatch
from athanor.data.sources.delta import is_delta, read_delta
from athanor.data.sources.files import Location, copy_files, list_files, name_of
from athanor.data.sources.hive import Constants, add_constants, read_partitions
from athanor.data.sources.source import Opened
from athanor.data.sources.times import open_parquet, require_dates, require_instants, storable
from athanor.errors import DataError

RESULT: Final = "result.parquet"
"""The file that holds rows which did not come from a file."""

_GROUP_ROWS: Final = 32_768


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files with the same columns, as one table in the order of their names; or a Delta table's latest version.

    Folders of files named `year=2012` hold a column `year`, the last of the table. Its type is that of such text in
    delimited files.

    Attributes:
        path: see `DelimitedFiles`.
        columns: names of the columns to read; all when empty. Others are not decompressed.

    >>> pq.write_table(pa.table({"sensor": ["a", "b"], "level": [1.5, None]}), "levels.parquet")
    >>> source = ParquetFiles("levels.parquet", columns=("level",))
    >>> source.fetch(Path("raw"), since=None)
    >>> [table.to_pydict() for table, _ in source.open(Path("raw"), batch_rows=1000).batches]
    [{'level': [1.5, None]}]
    """

    path: Location
    columns: tuple[str, ...] = ()

    @property
    def is_incremental(self) -> bool:
        return False

    def fetch(self, folder: Path, since: datetime | None) -> None:
        copy_files(self.path, folder, reads_delta=True)

    def open(self, folder: Path, batch_rows: int) -> Opened:
        return Opened(*open_rows(folder, batch_rows, self.columns))


def write_rows(tables: Iterable[pa.Table], path: Path) -> None:
    """Writes tables of one schema as one file; the same rows give the same bytes, however they are batched.

    Raises:
        DataError: there is no table, hence no columns; two columns have the same name; or Parquet lacks a type.
    """
    writer: pq.ParquetWriter | None = None
    try:
        for rows, _ in rebatch(((table, 0) for table in tables), _GROUP_ROWS):
            stored = storable(rows)
            if writer is None:
                writer = _open_writer(path, stored.schema)
            _write_group(writer, stored)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise DataError(
            "the source returned no table; if there are no rows, return an empty table, so that its columns are known"
        )


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


def open_rows(folder: Path, batch_rows: int, columns: Sequence[str] = ()) -> tuple[int, Batches]:
    """The number of rows of all Parquet files below a folder, and one stream of some or all columns.

    Raises:
        DataError: a file is not Parquet, differs from the first in columns or types, or lacks one of `columns`.
    """
    schema, parts = _open_delta(folder) if is_delta(folder) else _open_files(folder)
    if absent := [name for name in columns if name not in schema.names]:
        raise DataError(f"columns names {absent}; {parts[0].name if parts else 'the table'} has columns {schema.names}")
    size = sum(part.rows for part in parts)
    return size, rebatch(read_ahead(_read_groups(parts, _choose(schema, columns), batch_rows)), batch_rows)


def _open_files(folder: Path) -> tuple[pa.Schema, list[_Part]]:
    files = list_files(folder)
    names = [name_of(path, folder) for path in files]
    footers = [_read_footer(path, name) for path, name in zip(files, names, strict=True)]
    first = footers[0][1]
    for name, (_, schema) in zip(names, footers, strict=True):
        if not schema.equals(first):
            raise DataError(f"{name} has different columns from {names[0]}: {_difference(first, schema)}")
    partitions = read_partitions(names, {})
    parts = [_Part(*part) for part in zip(files, names, (rows for rows, _ in footers), partitions, strict=True)]
    return add_constants(first.empty_table(), partitions[0], names[0]).schema, parts


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
    """Names and types only, without the writer's metadata."""
    return pa.schema([(field.name, field.type) for field in schema])


def _choose(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in columns]) if columns else schema


def _difference(first: pa.Schema, other: pa.Schema) -> str:
    ours, theirs = ({field.name: str(field.type) for field in schema} for schema in (first, other))
    differing = [
        f"{name!r} is {theirs.get(name, 'absent')}, not {ours.get(name, 'absent')}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    return "; ".join(differing) or "they are in a different order"


def _read_groups(parts: Iterable[_Part], schema: pa.Schema, batch_rows: int) -> Batches:
    yield schema.empty_table(), 0
    for part in parts:
        try:
            with open_parquet(part.path) as file:
                stored, before = [name for name in schema.names if name in file.schema_arrow.names], 0
                require_instants(part.path, part.name, stored)
                for batch in file.iter_batches(min(batch_rows, _GROUP_ROWS), columns=stored):
                    table = pa.Table.from_batches([batch])
                    require_dates(table, part.name, before)
                    yield add_constants(table, part.constants, part.name).select(schema.names).cast(schema), len(batch)
                    before += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{part.name} cannot be read: {error}") from None
