"""Columns in the names of folders, as Hive, Spark and Delta write them: `year=2012/month=07/part-0.parquet`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final, TypeAlias
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from athanor.errors import DataError

Constants: TypeAlias = Mapping[str, pa.Scalar]
"""Columns with the same value in all rows of a file."""

_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
_FOLDER: Final = re.compile(r"([^=]+)=(.*)", re.DOTALL)


def is_partition(folder: str) -> bool:
    return _FOLDER.fullmatch(folder) is not None


def read_partitions(names: Sequence[str], types: Mapping[str, pa.DataType]) -> list[Constants]:
    """The columns in the folders of each file, with one type for all files; it is inferred as for delimited text.

    Args:
        names: paths of the files, at least one.
        types: declared types by column; others are inferred.

    Raises:
        DataError: files are in folders of different columns, or a value is not of its declared type.
    """
    texts = [_parse(name) for name in names]
    for name, found in zip(names, texts, strict=True):
        if found.keys() != texts[0].keys():
            raise DataError(
                f"the folders of {name} name the columns {sorted(found)}, those of {names[0]} {sorted(texts[0])}; "
                "keep files of different partitions in different sources"
            )
    columns = {key: _infer(key, [found[key] for found in texts], types.get(key)) for key in texts[0]}
    return [{key: column[row] for key, column in columns.items()} for row in range(len(names))]


def _parse(name: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for folder in PurePosixPath(name).parts[:-1]:
        if parsed := _FOLDER.fullmatch(folder):
            key, value = unquote(parsed[1]), unquote(parsed[2])
            if key in found or not value:
                raise DataError(f"{name}: the folder {folder!r} has no value, or names a column again; rename it")
            found[key] = None if value == _NULL else value
    return found


def _infer(key: str, values: Sequence[str | None], declared: pa.DataType | None) -> pa.ChunkedArray:
    # Quoted texts may be anything; only the one for null is empty.
    lines = ("" if value is None else '"' + value.replace('"', '""') + '"' for value in values)
    text = "\n".join(f"{line}," for line in lines).encode()
    try:
        table = pyarrow.csv.read_csv(
            pa.py_buffer(text),
            pyarrow.csv.ReadOptions(column_names=[key, "#end"], block_size=len(text) + 1, use_threads=False),
            pyarrow.csv.ParseOptions(newlines_in_values=True),
            pyarrow.csv.ConvertOptions(
                column_types={key: declared} if declared else {}, null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"the folders' names have a value of {key!r} that is not of its type: {error}") from None
    return table[key]


def add_constants(table: pa.Table, constants: Constants, name: str) -> pa.Table:
    """The table with columns that are not in it.

    Raises:
        DataError: a column is in the table, with other values.
    """
    for key, value in constants.items():
        if key not in table.column_names:
            table = table.append_column(key, pa.repeat(value, table.num_rows))
        elif not _is_constant(table[key], value):
            raise DataError(
                f"{name}: column {key!r} in the file is not {value.as_py()!r} in all rows, as its folder's name says; "
                "rename the folder or correct the file"
            )
    return table


def _is_constant(column: pa.ChunkedArray, value: pa.Scalar) -> bool:
    if not value.is_valid:
        return bool(column.null_count == len(column))
    try:
        return bool(pc.all(pc.fill_null(pc.equal(column.cast(value.type), value), False)).as_py() is not False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
