"""Contract columns as pandas frames come in and as Arrow tables are stored."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.messages import is_missing
from athanor.errors import DataError

_ARROW_TYPES = {
    Kind.NUMBER: pa.float64(),
    Kind.INTEGER: pa.int64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TEXT: pa.string(),
    Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}


def from_frame(columns: Sequence[Column], frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Converts a frame into contract columns; pandas' missing values become those of the column's kind.

    Raises:
        DataError: the frame lacks a column, has one more or twice, or one whose type does not fit its kind.
    """
    expected = {column.name for column in columns}
    found = set(frame.columns)
    if twice := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise DataError(f"the table has columns twice: {twice}")
    if expected != found:
        absent, further = sorted(expected - found), sorted(found - expected)
        raise DataError(f"the table does not have the contract's columns; absent: {absent}, unknown: {further}")
    return {column.name: _from_series(column, frame[column.name]) for column in columns}


def _from_series(column: Column, series: "pd.Series[Any]") -> NDArray[Any]:
    try:
        if column.kind is Kind.TEXT:
            texts = series.astype(object).where(series.notna(), "").to_numpy(dtype=object)
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("it is no text")
            return texts
        if column.kind is Kind.TIMESTAMP:
            if not isinstance(series.dtype, pd.DatetimeTZDtype):
                raise TypeError("it is no instant with a time zone")
            return np.asarray(series.dt.tz_convert("UTC").dt.tz_localize(None), dtype="M8[us]")
        if not pd.api.types.is_numeric_dtype(series.dtype) and series.dtype != bool:
            raise TypeError("it is no number")
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{column.name} has type {series.dtype}; the contract says {column.kind.value}: {error}"
        ) from None


def to_arrow(columns: Sequence[Column], values: Columns) -> pa.Table:
    """Writes contract columns as an Arrow table: missing is null, and whole numbers and truth values have own types."""
    return pa.table({column.name: _to_arrow(column, values[column.name]) for column in columns})


def _to_arrow(column: Column, values: NDArray[Any]) -> pa.Array:
    missing = is_missing(column, values)
    if column.kind in (Kind.INTEGER, Kind.BOOLEAN):
        values = np.where(missing, 0.0, values).astype(np.int64 if column.kind is Kind.INTEGER else np.bool_)
    return pa.array(values, mask=missing).cast(_ARROW_TYPES[column.kind])


def from_arrow(columns: Sequence[Column], table: pa.Table) -> dict[str, NDArray[Any]]:
    """Reads what `to_arrow` wrote.

    Raises:
        DataError: the table lacks a column.
    """
    if absent := [column.name for column in columns if column.name not in table.column_names]:
        raise DataError(f"the snapshot has no column {', '.join(absent)}; it was made under another contract")
    return {column.name: _from_arrow(column, table[column.name]) for column in columns}


def _from_arrow(column: Column, array: pa.ChunkedArray) -> NDArray[Any]:
    if column.kind is Kind.TEXT:
        return np.asarray(pc.fill_null(array, "").to_numpy(zero_copy_only=False), dtype=object)
    if column.kind is Kind.TIMESTAMP:
        return np.asarray(array.to_numpy(zero_copy_only=False)).astype("M8[us]")
    return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False))


def join_blocks(*blocks: tuple[Sequence[str], NDArray[Any]]) -> pd.DataFrame:
    """One frame out of named two-dimensional arrays of equal length, beside each other, each with its own dtype."""
    return pd.concat([pd.DataFrame(array, columns=list(names)) for names, array in blocks], axis=1)
