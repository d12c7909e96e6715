"""Delta tables as sources: the log says which of a folder's files are the table's, and what their partitions are."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from athanor.data.sources.folders.hive import Constants
from athanor.errors import DataError, SettingsError

LOG: Final = "_delta_log"

# Features of a table that change nothing for one who reads each file by the names of its columns. Column mapping does
# where it is switched on.
_UNDERSTOOD: Final = {"columnMapping", "timestampNtz", "typeWidening", "vacuumProtocolCheck", "v2Checkpoint"}
_MISREAD: Final = re.compile(r"%[0-9A-Fa-f]{2}|[\\|^\[\]]")
_REMEDY: Final = "write its rows to a table without it, or to Parquet files"


def is_delta(folder: Path) -> bool:
    return (folder / LOG).is_dir()


def active_files(folder: Path) -> list[str]:
    """The names of the files of a table's latest version, of which only the log need be in the folder.

    Raises:
        DataError: the log cannot be read, or the table needs more than the rows of its files.
    """
    return sorted(_read_actions(_open(folder)))


def read_delta(folder: Path) -> tuple[pa.Schema, dict[str, Constants]]:
    """The columns of a table's latest version, and by file, in order of names, the values of its partition."""
    table = _open(folder)
    schema = pa.schema(table.schema().to_arrow())
    return pa.schema([(field.name, field.type) for field in schema]), dict(sorted(_read_actions(table).items()))


def require_readable_path(folder: Path) -> None:
    """Raises SettingsError if deltalake would take a folder's path for another, which it decodes as a URL, or crash."""
    if found := _MISREAD.search(str(folder.absolute())):
        raise SettingsError(
            f"{folder.absolute()}: the path has {found[0]!r}, which deltalake cannot read; rename the folder, or "
            "choose another, such as another --home"
        )


def _open(folder: Path) -> DeltaTable:
    require_readable_path(folder)
    try:
        table = DeltaTable(folder)
        protocol, settings = table.protocol(), table.metadata().configuration
    except (DeltaError, OSError, ValueError) as error:
        raise DataError(f"the log of the Delta table cannot be read: {error}") from None
    needed = set(protocol.reader_features or ()) - _UNDERSTOOD
    if settings.get("delta.columnMapping.mode", "none") != "none":
        needed.add("columnMapping")
    if needed:
        raise DataError(f"the Delta table uses {', '.join(sorted(needed))}, which is not supported; {_REMEDY}")
    return table


def _read_actions(table: DeltaTable) -> dict[str, Constants]:
    """The values of the partition columns by file."""
    actions = pa.table(table.get_add_actions(flatten=True))
    partitions = {name: actions[f"partition.{name}"] for name in table.metadata().partition_columns}
    # The log has paths as in URLs.
    names = [unquote(path) for path in actions["path"].to_pylist()]
    if outside := [name for name in names if "://" in name or name.startswith("/") or ".." in name.split("/")]:
        raise DataError(f"the Delta table's log names {outside[0]}, a file of another table; copy it with its files")
    return {name: {key: values[row] for key, values in partitions.items()} for row, name in enumerate(names)}
