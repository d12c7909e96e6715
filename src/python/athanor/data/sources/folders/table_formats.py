"""Folders of tables whose files count only by a log beside them: reading all files would read superseded rows."""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any, Final

from athanor.data.sources.folders.delta import LOG
from athanor.data.sources.folders.hive import is_partition
from athanor.errors import DataError

_MARKS: Final = {LOG: "a Delta table", ".hoodie": "a Hudi table", "_spark_metadata": "the output of a Spark stream"}
_ICEBERG: Final = "an Iceberg table"
_SNAPSHOT: Final = ".metadata.json"
_UNKNOWN: Final = (
    "its log says which files count, and is not read here; write its current rows to Parquet files, or read it in a "
    "FunctionSource"
)
_DELTA: Final = "its log says which files count; read it by ParquetFiles with the path of exactly this folder"


def find_tables(files: Iterable[PurePosixPath]) -> Iterator[tuple[PurePosixPath, str]]:
    """The folders that are tables, as the files in them show, and what they are."""
    seen = set()
    for file in files:
        parts = file.parts
        found = [(PurePosixPath(*parts[:at]), _MARKS[part]) for at, part in enumerate(parts[:-1]) if part in _MARKS]
        if parts[-2:-1] == ("metadata",) and _SNAPSHOT in file.name:
            found.append((file.parent.parent, _ICEBERG))
        yield from (table for table in found if table not in seen)
        seen.update(found)


def require_no_table(system: Any, folders: Iterable[PurePosixPath]) -> None:
    """Raises DataError if one of the folders, or one that holds it as a partition or as its data, is a table."""
    for folder in sorted({around for inner in folders for around in _around(inner)}):
        for mark, what in _MARKS.items():
            if system.isdir(str(folder / mark)):
                raise refusal(folder, what)
        metadata = str(folder / "metadata")
        if system.isdir(metadata) and any(
            name.endswith(".metadata.json") for name in system.ls(metadata, detail=False)
        ):
            raise refusal(folder, _ICEBERG)


def _around(folder: PurePosixPath) -> Iterator[PurePosixPath]:
    """The folder, the folders of which it is a partition, and the one around them."""
    while is_partition(folder.name):
        yield folder
        folder = folder.parent
    yield folder
    yield folder.parent


def refusal(folder: PurePosixPath, what: str) -> DataError:
    return DataError(f"{folder} is {what}: {_DELTA if what == _MARKS[LOG] else _UNKNOWN}")
