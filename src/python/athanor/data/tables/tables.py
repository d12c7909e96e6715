"""Contract columns from pandas frames, and to and from the Arrow tables that are stored."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.messages import is_missing
from athanor.data.sources.columns.types import plain, untyped_columns
from athanor.data.tables.untyped import read_untyped, to_untyped
from athanor.errors import DataError

_INTEGERS: Final = (
    *(pd.Int8Dtype(), pd.Int16Dtype(), pd.Int32Dtype(), pd.Int64Dtype()),
    *(pd.UInt8Dtype(), pd.UInt16Dtype(), pd.UInt32Dtype(), pd.UInt64Dtype()),
)
_ARROW_TYPES = {
    Kind.NUMBER: pa.float64(),
    Kind.INTEGER: pa.int64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TEXT: pa.string(),
    Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}

_NULLABLE: Final = {
    pa.bool_(): pd.BooleanDtype(),
    **{pa.type_for_alias(dtype.name.lower()): dtype for dtype in _INTEGERS},
}
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST: Final = int(sys.float_info.max)


@dataclass(frozen=True)
class Mistyped:
    """Values that are not of their column's kind; `from_frame` returns them as missing.

    Attributes:
        rows: positions, ascending.
        values: the original values, of the same length.
    """

    column: Column
    rows: NDArray[np.int64]
    values: Sequence[Any]


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A raw table as a pandas frame whose dtypes follow from the table's types, never from its values.

    Whole numbers and truth values get pandas' nullable dtypes: with numpy's, a null would turn a batch to float64, in
    which integers beyond 2**53 collapse, or to object. Text is `str`, numbers are float64 with NaN for null.
    """
    # One block per column: consolidating columns of one type would copy them.
    frame: pd.DataFrame = plain(table).to_pandas(split_blocks=True, types_mapper=_NULLABLE.get)
    for name in untyped_columns(table.schema):
        frame[name] = to_untyped(table[name])
    return frame


def from_frame(columns: Sequence[Column], frame: pd.DataFrame) -> tuple[dict[str, NDArray[Any]], tuple[Mistyped, ...]]:
    """Converts a frame to contract columns; pandas' missing values become the missing value of the column's kind.

    Returns:
        The columns, and the values that are not of their column's kind: nothing is parsed or rounded to fit. Numbers,
        integers, decimals and booleans all count as numbers; an instant must have a time zone.

    Raises:
        DataError: the frame's columns are not exactly the contract's, or one occurs twice.
    """
    expected = {column.name for column in columns}
    found = set(frame.columns)
    if twice := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise DataError(f"the transform's frame has duplicate columns: {twice}; keep one of each")
    if expected != found:
        absent, further = sorted(expected - found), sorted(found - expected)
        raise DataError(
            f"the transform's frame does not have the contract's columns; missing: {absent}, unknown: {further}"
        )
    values: dict[str, NDArray[Any]] = {}
    mistyped = []
    for column in columns:
        series = read_untyped(column.kind, _decode(frame[column.name]))
        if _is_of_kind(column.kind, series):
            values[column.name] = _from_series(column.kind, series)
            if column.kind is Kind.TIMESTAMP:
                instants = values[column.name]
                values[column.name], beyond = to_microseconds(instants)
                if len(beyond):
                    mistyped.append(Mistyped(column, beyond, list(instants[beyond])))
            continue
        wrong = _find_mistyped(column.kind, series)
        if len(wrong):
            mistyped.append(Mistyped(column, wrong, series.iloc[wrong].tolist()))
        values[column.name] = _from_objects(column.kind, series, wrong)
    return values, tuple(mistyped)


def _decode(series: "pd.Series[Any]") -> "pd.Series[Any]":
    """The values of categories and of Arrow's own types, and missing ones for signalling NaN, which none may touch."""
    if isinstance(series.dtype, pd.CategoricalDtype) and not isinstance(series.dtype.categories.dtype, pd.StringDtype):
        series = series.astype(object)
    elif isinstance(series.dtype, pd.ArrowDtype):
        series = to_frame(pa.table({"": pa.array(series)}))[""].set_axis(series.index)
    try:
        series.isna()
    except InvalidOperation:
        values = [None if isinstance(value, Decimal) and value.is_snan() else value for value in series.array]
        series = pd.Series(values, series.index, dtype=object)
    return series


def _is_of_kind(kind: Kind, series: "pd.Series[Any]") -> bool:
    """Whether the dtype alone guarantees that every value is of the kind."""
    if kind is Kind.TEXT:
        dtype = series.dtype.categories.dtype if isinstance(series.dtype, pd.CategoricalDtype) else series.dtype
        return isinstance(dtype, pd.StringDtype)
    if kind is Kind.TIMESTAMP:
        return isinstance(series.dtype, pd.DatetimeTZDtype)
    return pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_complex_dtype(series.dtype)


def _from_series(kind: Kind, series: "pd.Series[Any]") -> NDArray[Any]:
    if kind is Kind.TEXT:
        return to_texts(pa.array(series, from_pandas=True))
    if kind is Kind.TIMESTAMP:
        return np.asarray(series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
    if isinstance(series.dtype, np.dtype):
        return np.asarray(series, dtype=np.float64)
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def to_microseconds(instants: NDArray[np.datetime64]) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
    """Instants of any unit in microseconds, and the rows of those beyond 64 bits of them, which become NaT.

    Truncates nanoseconds: columns have microseconds.
    """
    # NumPy wraps where a value does not fit.
    converted = instants.astype("M8[us]")
    if np.datetime_data(instants.dtype)[0] not in ("s", "ms"):
        return converted, np.empty(0, dtype=np.int64)
    beyond = np.flatnonzero((converted.astype(instants.dtype) != instants) & ~np.isnat(instants))
    converted[beyond] = np.datetime64("NaT")
    return converted, beyond


def to_texts(array: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """An object array of `str`, "" for null. Equal texts share one object, which speeds up later comparisons."""
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
    """A lone surrogate is not text: it cannot be encoded."""
    return isinstance(value, str) and (value.isascii() or not _SURROGATES.search(value))


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float | Decimal | np.number | np.bool_) or isinstance(value, np.complexfloating):
        return False
    if isinstance(value, Decimal) and value.is_nan():
        return True
    return not isinstance(value, int | Decimal) or abs(value) <= _LARGEST


def _is_instant(value: Any) -> bool:
    """A Timestamp may lie beyond the years of a datetime; pandas would wrap it."""
    return isinstance(value, datetime) and value.tzinfo is not None and MINYEAR <= value.year <= MAXYEAR


def _from_objects(kind: Kind, series: "pd.Series[Any]", wrong: NDArray[np.int64]) -> NDArray[Any]:
    """A column of values of any type; those at `wrong` become missing."""
    objects = series.astype(object).to_numpy(copy=True)
    objects[wrong] = None
    objects[pd.isna(objects)] = None
    if kind is Kind.TEXT:
        return np.asarray(np.where(pd.isna(objects), "", objects), dtype=object)
    if kind is Kind.TIMESTAMP:
        return np.array([_to_microsecond(value) for value in objects], dtype="M8[us]")
    return objects.astype(np.float64)


def _to_microsecond(value: datetime | None) -> np.datetime64:
    """Pandas would take the unit of one for all, in which others may not fit; in UTC a datetime may have no year."""
    if value is None:
        return np.datetime64("NaT", "us")
    instant = value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value
    return np.datetime64((instant - _EPOCH) // timedelta(microseconds=1), "us")


def to_arrow(columns: Sequence[Column], values: Columns) -> pa.Table:
    """Contract columns as an Arrow table: missing values become null, integers int64 and booleans bool."""
    return pa.table({column.name: _to_arrow(column, values[column.name]) for column in columns})


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema of `to_arrow`'s tables."""
    return pa.schema([(column.name, _ARROW_TYPES[column.kind]) for column in columns])


def to_lenient_arrow(columns: Sequence[Column], values: Columns) -> pa.Table:
    """Columns that may break the contract as an Arrow table: all numbers as float64, since 0.5 is not a bool."""
    return pa.table({column.name: _to_lenient_arrow(column, values[column.name]) for column in columns})


def _to_lenient_arrow(column: Column, values: NDArray[Any]) -> pa.Array:
    array = pa.array(values, mask=is_missing(column, values))
    return array.cast(_lenient_type(column))


def _lenient_type(column: Column) -> pa.DataType:
    return pa.float64() if column.kind.is_numeric else _ARROW_TYPES[column.kind]


def null_rows(columns: Sequence[Column], rows: int) -> pa.Table:
    """Rows without a value, with the types of `to_lenient_arrow`."""
    return pa.table({column.name: pa.nulls(rows, _lenient_type(column)) for column in columns})


def _to_arrow(column: Column, values: NDArray[Any]) -> pa.Array:
    if column.kind.is_numeric:
        return pa.array(values, from_pandas=True).cast(_ARROW_TYPES[column.kind])
    missing = is_missing(column, values)
    return pa.array(values, mask=missing if missing.any() else None).cast(_ARROW_TYPES[column.kind])


def from_arrow(columns: Sequence[Column], table: pa.Table) -> dict[str, NDArray[Any]]:
    """The inverse of `to_arrow`.

    Raises:
        DataError: the table lacks a column.
    """
    if absent := [column.name for column in columns if column.name not in table.column_names]:
        raise DataError(f"the snapshot has no column {', '.join(absent)}; build it again under this contract")
    return {column.name: _from_arrow(column, table[column.name]) for column in columns}


def _from_arrow(column: Column, array: pa.ChunkedArray) -> NDArray[Any]:
    if column.kind is Kind.TEXT:
        return to_texts(array)
    if column.kind is Kind.TIMESTAMP:
        return np.asarray(array.to_numpy(zero_copy_only=False)).astype("M8[us]")
    return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False))


def join_blocks(*blocks: tuple[Sequence[str], NDArray[Any]]) -> pd.DataFrame:
    """One frame of named two-dimensional arrays of equal length, side by side, each with its own dtype."""
    return pd.concat([pd.DataFrame(array, columns=list(names)) for names, array in blocks], axis=1)
