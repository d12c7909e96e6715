"""Rows as Parquet: what databases and functions gave is written so, and streamed again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from athanor.data.sources.batches import Batches, read_ahead, rebatch
from athanor.data.sources.files import Location, copy_files, list_files, name_of
from athanor.data.sources.source import Opened
from athanor.errors import DataError

RESULT: Final = "result.parquet"
"""Where rows that came from no file are kept."""

_GROUP_ROWS: Final = 32_768


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files with the same columns, one table in the order of their names.

    Attributes:
        path: as of `DelimitedFiles`.
        columns: names of those to read; all when empty. Others are not even unpacked.
    """

    path: Location
    columns: tuple[str, ...] = ()

    @property
    def is_incremental(self) -> bool:
        return False

    def fetch(self, folder: Path, since: datetime | None) -> None:
        copy_files(self.path, folder)

    def open(self, folder: Path, batch_rows: int) -> Opened:
        return Opened(*open_rows(folder, batch_rows, self.columns))


def write_rows(tables: Iterable[pa.Table], path: Path) -> None:
    """Writes tables of one schema as one file; the same rows make the same bytes, however they were cut.

    Raises:
        DataError: there is no table, hence no columns; two columns have one name; or Parquet has no such type.
    """
    writer: pq.ParquetWriter | None = None
    try:
        for rows, _ in rebatch(((table, 0) for table in tables), _GROUP_ROWS):
            if writer is None:
                writer = _open_writer(path, rows.schema)
            writer.write_table(rows.combine_chunks(), row_group_size=_GROUP_ROWS)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise DataError("no table came; where there are no rows, give one without rows, so that its columns are known")


def _open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    require_single(schema.names, "the table")
    try:
        return pq.ParquetWriter(path, schema, compression="zstd")
    except pa.ArrowNotImplementedError as error:
        path.unlink(missing_ok=True)
        raise DataError(f"a column has a type that cannot be kept: {error}; cast it to text or a number") from None


def require_single(names: Iterable[str], what: str) -> None:
    """Raises DataError if a name occurs twice."""
    seen = list(names)
    if twice := sorted({name for name in seen if seen.count(name) > 1}):
        raise DataError(f"{what} has columns twice: {', '.join(map(repr, twice))}; give each a name of its own")


def open_rows(folder: Path, batch_rows: int, columns: Sequence[str] = ()) -> tuple[int, Batches]:
    """All Parquet files below a folder as one stream of some or all columns, and how many rows it has.

    Raises:
        DataError: a file is no Parquet, or has other columns or types than the first, or lacks one of `columns`.
    """
    files = list_files(folder)
    first, size = None, 0
    for path in files:
        length, schema = _read_footer(path, folder)
        first = first or schema
        if absent := [name for name in columns if name not in first.names]:
            raise DataError(f"columns names {absent}; {name_of(path, folder)} has columns {first.names}")
        if not schema.equals(first):
            difference = _difference(first, schema)
            raise DataError(f"{name_of(path, folder)} has other columns than {name_of(files[0], folder)}: {difference}")
        size += length
    return size, rebatch(read_ahead(_read_groups(files, folder, batch_rows, columns)), batch_rows)


def _read_footer(path: Path, folder: Path) -> tuple[int, pa.Schema]:
    try:
        metadata = pq.read_metadata(path)
        return metadata.num_rows, _plain_schema(metadata.schema.to_arrow_schema())
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name_of(path, folder)} is no Parquet file: {error}") from None


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    """Names and types alone, without what else its writer noted."""
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
    return "; ".join(differing) or "they come in another order"


def _read_groups(files: Iterable[Path], folder: Path, batch_rows: int, columns: Sequence[str]) -> Batches:
    for path in files:
        try:
            # Buffered ahead, a whole file of compressed columns would be held until its end.
            with pq.ParquetFile(path, pre_buffer=False) as file:
                schema = _choose(_plain_schema(file.schema_arrow), columns)
                yield schema.empty_table(), 0
                for batch in file.iter_batches(min(batch_rows, _GROUP_ROWS), columns=schema.names):
                    yield pa.Table.from_batches([batch]).cast(schema), batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{name_of(path, folder)} cannot be read: {error}") from None
