"""Contract columns as pandas frames come in and as Arrow tables are stored."""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

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

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_LARGEST: Final = sys.float_info.max


@dataclass(frozen=True)
class Mistyped:
    """Values of a column that are not of its kind; in the columns they are missing.

    Attributes:
        rows: positions in ascending order.
        values: as they came, of the same length.
    """

    column: Column
    rows: NDArray[np.int64]
    values: Sequence[Any]


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A raw table as pandas has it. Each column stays by itself: gathering those of one type would copy them all."""
    frame: pd.DataFrame = table.to_pandas(split_blocks=True)
    return frame


def from_frame(columns: Sequence[Column], frame: pd.DataFrame) -> tuple[dict[str, NDArray[Any]], tuple[Mistyped, ...]]:
    """Converts a frame into contract columns; pandas' missing values become those of the column's kind.

    Returns:
        The columns, and what is not of its column's kind: no value is parsed or rounded to make it fit. Numbers, truth
        values and whole numbers are all numbers; an instant has a time zone.

    Raises:
        DataError: the frame lacks a column, has one more or has one twice.
    """
    expected = {column.name for column in columns}
    found = set(frame.columns)
    if twice := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise DataError(f"the table has columns twice: {twice}")
    if expected != found:
        absent, further = sorted(expected - found), sorted(found - expected)
        raise DataError(f"the table does not have the contract's columns; absent: {absent}, unknown: {further}")
    values: dict[str, NDArray[Any]] = {}
    mistyped = []
    for column in columns:
        series = frame[column.name]
        if _is_of_kind(column.kind, series):
            values[column.name] = _from_series(column.kind, series)
            continue
        wrong = _find_mistyped(column.kind, series)
        if len(wrong):
            mistyped.append(Mistyped(column, wrong, series.iloc[wrong].tolist()))
        values[column.name] = _from_objects(column.kind, series, wrong)
    return values, tuple(mistyped)


def _is_of_kind(kind: Kind, series: "pd.Series[Any]") -> bool:
    """Whether its type alone says that every value is of the kind."""
    if kind is Kind.TEXT:
        dtype = series.dtype.categories.dtype if isinstance(series.dtype, pd.CategoricalDtype) else series.dtype
        return isinstance(dtype, pd.StringDtype) or _is_arrow(dtype, pa.types.is_string, pa.types.is_large_string)
    if kind is Kind.TIMESTAMP:
        return isinstance(series.dtype, pd.DatetimeTZDtype) or _is_arrow(series.dtype, _has_zone)
    return pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_complex_dtype(series.dtype)


def _is_arrow(dtype: Any, *are: Callable[[pa.DataType], bool]) -> bool:
    return isinstance(dtype, pd.ArrowDtype) and any(is_one(dtype.pyarrow_dtype) for is_one in are)


def _has_zone(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind)) and kind.tz is not None


def _from_series(kind: Kind, series: "pd.Series[Any]") -> NDArray[Any]:
    if kind is Kind.TEXT:
        return to_texts(pa.array(series, from_pandas=True))
    if kind is Kind.TIMESTAMP:
        # Nanoseconds are cut off: no column has them.
        return np.asarray(series.dt.tz_convert("UTC").dt.tz_localize(None), dtype="M8[us]")
    if isinstance(series.dtype, np.dtype):
        return np.asarray(series, dtype=np.float64)
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def to_texts(array: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """An object array of `str`, "" for null; equal texts are one object, which makes what follows quick."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    encoded = pc.fill_null(array, "").dictionary_encode()
    distinct = np.array(encoded.dictionary.to_pylist(), dtype=object)
    return np.asarray(distinct[encoded.indices.to_numpy()] if len(distinct) else distinct)


def _find_mistyped(kind: Kind, series: "pd.Series[Any]") -> NDArray[np.int64]:
    present = series.notna().to_numpy()
    if series.dtype != object:
        return np.flatnonzero(present)
    fits = {Kind.TEXT: _is_text, Kind.TIMESTAMP: _is_instant}.get(kind, _is_number)
    wrong = np.fromiter((not fits(value) for value in series), np.bool_, len(series))
    return np.flatnonzero(present & wrong)


def _is_text(value: Any) -> bool:
    """Half a surrogate pair is no text: it cannot be written."""
    return isinstance(value, str) and (value.isascii() or not _SURROGATES.search(value))


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float | np.number | np.bool_) or isinstance(value, np.complexfloating):
        return False
    return not isinstance(value, int) or abs(value) <= _LARGEST


def _is_instant(value: Any) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None


def _from_objects(kind: Kind, series: "pd.Series[Any]", wrong: NDArray[np.int64]) -> NDArray[Any]:
    """A column of values of any type, of which those at `wrong` count as missing."""
    objects = series.astype(object).to_numpy(copy=True)
    objects[wrong] = None
    objects[pd.isna(objects)] = None
    if kind is Kind.TEXT:
        return np.asarray(np.where(pd.isna(objects), "", objects), dtype=object)
    if kind is Kind.TIMESTAMP:
        return np.asarray(pd.DatetimeIndex(pd.to_datetime(objects, utc=True)).tz_localize(None), dtype="M8[us]")
    return objects.astype(np.float64)


def to_arrow(columns: Sequence[Column], values: Columns) -> pa.Table:
    """Writes contract columns as an Arrow table: missing is null, and whole numbers and truth values have own types."""
    return pa.table({column.name: _to_arrow(column, values[column.name]) for column in columns})


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema of what `to_arrow` writes."""
    return pa.schema([(column.name, _ARROW_TYPES[column.kind]) for column in columns])


def to_lenient_arrow(columns: Sequence[Column], values: Columns) -> pa.Table:
    """Writes columns that need not keep the contract: all numbers as float64, for half a truth value is one too."""
    return pa.table({column.name: _to_lenient_arrow(column, values[column.name]) for column in columns})


def _to_lenient_arrow(column: Column, values: NDArray[Any]) -> pa.Array:
    array = pa.array(values, mask=is_missing(column, values))
    return array.cast(pa.float64() if column.kind.is_numeric else _ARROW_TYPES[column.kind])


def _to_arrow(column: Column, values: NDArray[Any]) -> pa.Array:
    if column.kind.is_numeric:
        return pa.array(values, from_pandas=True).cast(_ARROW_TYPES[column.kind])
    missing = is_missing(column, values)
    return pa.array(values, mask=missing if missing.any() else None).cast(_ARROW_TYPES[column.kind])


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
        return to_texts(array)
    if column.kind is Kind.TIMESTAMP:
        return np.asarray(array.to_numpy(zero_copy_only=False)).astype("M8[us]")
    return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False))


def join_blocks(*blocks: tuple[Sequence[str], NDArray[Any]]) -> pd.DataFrame:
    """One frame out of named two-dimensional arrays of equal length, beside each other, each with its own dtype."""
    return pd.concat([pd.DataFrame(array, columns=list(names)) for names, array in blocks], axis=1)
