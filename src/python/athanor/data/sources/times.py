"""Dates and instants of Parquet files: those that neither pandas nor 64 bits of microseconds can hold are refused.

Arrow reads an instant of 96 bits (INT96, which Spark writes) into 64 bits, and wraps where it does not fit. In
microseconds, the precision of contract columns, the years -290307 to 294246 fit; in nanoseconds only 1677 to 2262.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from athanor.errors import DataError

_UNIT: Final = "us"
_LARGEST_S: Final = 2**63 // 10**6
_FIRST_DAY, _LAST_DAY = np.array(["0001-01-01", "9999-12-31"], "M8[D]").astype(np.int64).tolist()
_REMEDY: Final = "correct it, or leave the column out by naming the others in `columns`"


def open_parquet(path: Path) -> pq.ParquetFile:
    """A Parquet file whose instants of 96 bits are read in microseconds."""
    # With pre-buffering, all compressed columns of a file stay in memory until its end.
    return pq.ParquetFile(path, pre_buffer=False, coerce_int96_timestamp_unit=_UNIT)


def require_instants(path: Path, name: str, columns: Sequence[str]) -> None:
    """Raises DataError if an instant of 96 bits does not fit into 64 bits of microseconds; reads only such columns."""
    with open_parquet(path) as file:
        leaves = (file.metadata.schema.column(index) for index in range(file.metadata.num_columns))
        found = {leaf.path.split(".")[0] for leaf in leaves if leaf.physical_type == "INT96"}.intersection(columns)
        schema = file.schema_arrow
    if not found:
        return
    # In seconds all 96 bits fit.
    with pq.ParquetFile(path, pre_buffer=False, coerce_int96_timestamp_unit="s") as seconds:
        before = 0
        for batch in seconds.iter_batches(columns=sorted(found)):
            for field in batch.schema:
                _require_castable(batch.column(field.name), schema.field(field.name), name, before)
            before += batch.num_rows


def _require_castable(seconds: pa.Array, field: pa.Field, name: str, before: int) -> None:
    try:
        seconds.cast(field.type)
    except pa.ArrowInvalid as error:
        where, shown = name, str(error)
        if pa.types.is_timestamp(seconds.type):
            values = seconds.cast(pa.int64())
            row = pc.index(pc.greater(pc.abs(values), _LARGEST_S), True).as_py()
            where, shown = f"{name}, row {before + row + 1:,}", str(np.datetime64(values[row].as_py(), "s"))
        raise DataError(
            f"{where}: column {field.name!r} has the instant {shown}, which is outside of 64 bits of microseconds; "
            f"{_REMEDY}"
        ) from None


def require_dates(table: pa.Table, name: str, before: int) -> None:
    """Raises DataError if a date lies outside of the years 1 to 9999, which pandas cannot hold.

    Args:
        before: the number of rows of the file before the table.
    """
    for field in table.schema:
        if not pa.types.is_date(field.type):
            continue
        days = table[field.name].cast(pa.date32(), safe=False).cast(pa.int32())
        extremes = pc.min_max(days).as_py()
        if extremes["min"] is None or (extremes["min"] >= _FIRST_DAY and extremes["max"] <= _LAST_DAY):
            continue
        row = pc.index(pc.or_(pc.less(days, _FIRST_DAY), pc.greater(days, _LAST_DAY)), True).as_py()
        raise DataError(
            f"{name}, row {before + row + 1:,}: column {field.name!r} has the date "
            f"{np.datetime64(days[row].as_py(), 'D')}, which is outside of the years 1 to 9999; {_REMEDY}"
        )


def storable(table: pa.Table) -> pa.Table:
    """The same rows with dates of 64 bits as dates of 32 bits, as Parquet stores them.

    Raises:
        DataError: such a date has a time of day, which Parquet would drop.
    """
    for position, field in enumerate(table.schema):
        if field.type == pa.date64():
            try:
                days = table.column(position).cast(pa.date32())
            except pa.ArrowInvalid as error:
                raise DataError(f"column {field.name!r}: {error}; return a timestamp instead of a date64") from None
            table = table.set_column(position, field.name, days)
    return table
