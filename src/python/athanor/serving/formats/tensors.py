"""The Open Inference Protocol's tensors: each is a column, as a message, as raw bytes or as JSON.

Standard: https://github.com/open-inference/open-inference-protocol
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.contract import Contract
from athanor.contract.messages import OUT_OF_RANGE_US
from athanor.contract.shown import shown
from athanor.errors import FieldViolation, InvalidRequestError

# Layout of each datatype in raw bytes. BYTES has no fixed one: a length precedes each value.
DTYPES: Final = {
    "BOOL": np.dtype(np.bool_),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
BYTES: Final = "BYTES"
_WHOLE: Final = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")

_NUMBERS: Final = (*_WHOLE, "FP16", "FP32", "FP64", "BOOL")
_ALLOWED: Final = {
    Kind.NUMBER: _NUMBERS,
    Kind.INTEGER: _NUMBERS,
    Kind.BOOLEAN: _NUMBERS,
    Kind.TEXT: (BYTES,),
    Kind.TIMESTAMP: ("INT64", BYTES),
}
_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input, decoded by a door.

    Attributes:
        values: an array of `DTYPES[datatype]`; or, for BYTES, a list of `bytes` or `str`. One-dimensional.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Any


class MalformedTensorError(ValueError):
    """The contents of a tensor do not match its datatype."""


def datatype_of(column: Column) -> str:
    """The datatype of a column in the metadata. A number that may be missing needs one with NaN."""
    if column.kind is Kind.TEXT:
        return BYTES
    if column.kind is Kind.TIMESTAMP:
        return "INT64"
    if column.kind is Kind.NUMBER or column.may_be_missing:
        return "FP32" if column.is_32_bit else "FP64"
    return "BOOL" if column.kind is Kind.BOOLEAN else "INT64"


def split_bytes(raw: bytes) -> list[bytes]:
    """The values of a raw BYTES tensor. Raises MalformedTensorError if their lengths do not add up."""
    if same := _split_equal(raw):
        return same
    values: list[bytes] = []
    at = 0
    while at < len(raw):
        if at + _LENGTH.size > len(raw):
            raise MalformedTensorError(f"ends within the length of value {len(values)}")
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if at + length > len(raw):
            raise MalformedTensorError(f"ends within value {len(values)}, which should have {length} bytes")
        values.append(raw[at : at + length])
        at += length
    return values


def _split_equal(raw: bytes) -> list[bytes]:
    """Splits values of equal length, as codes have, all at once; returns [] if the lengths differ."""
    if len(raw) < _LENGTH.size:
        return []
    (length,) = _LENGTH.unpack_from(raw)
    size = _LENGTH.size + length
    if not length or len(raw) % size:
        return []
    records = np.frombuffer(raw, dtype=[("length", "<u4"), ("value", f"V{length}")])
    if not (records["length"] == length).all():
        return []
    return [value.tobytes() for value in records["value"]] if length > 64 else _to_list(records["value"], length)


def _to_list(values: NDArray[Any], length: int) -> list[bytes]:
    joined = values.tobytes()
    return [joined[at : at + length] for at in range(0, len(joined), length)]


def join_bytes(values: Iterable[bytes]) -> bytes:
    """Raw contents of a BYTES tensor."""
    return b"".join(_LENGTH.pack(len(value)) + value for value in values)


def read_raw(datatype: str, raw: bytes) -> Any:
    """The values of raw contents, as `Tensor` holds them. Raises MalformedTensorError if they cannot be read."""
    if datatype == BYTES:
        return split_bytes(raw)
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise MalformedTensorError(f"has the unknown datatype {shown(datatype)}")
    if len(raw) % dtype.itemsize:
        raise MalformedTensorError(f"has {len(raw)} bytes; {datatype} takes {dtype.itemsize} for each value")
    return np.frombuffer(raw, dtype)


def count_rows(tensors: Sequence[Tensor]) -> int:
    """The number of rows in the first input. `to_columns` checks that the others agree."""
    return tensors[0].shape[0] if tensors and tensors[0].shape else 0


def to_columns(contract: Contract, tensors: Sequence[Tensor]) -> Columns:
    """Reads inputs into the contract's columns, of `count_rows` rows.

    A column without an input is missing in every row. Values may break the contract; they are not checked here.

    Raises:
        InvalidRequestError: an input is not a column of the first one's length; names every such input.
    """
    known = {column.name: column for column in contract.columns}
    violations: list[FieldViolation] = []
    read: dict[str, NDArray[Any]] = {}
    count = count_rows(tensors)
    for tensor in tensors:
        column = known.get(tensor.name)
        problem = _find_problem(tensor, column, count, tensor.name in read)
        if problem:
            violations.append(FieldViolation(f"inputs.{shown(tensor.name)}", *problem))
        elif column:
            read[tensor.name], broken = _to_array(column, tensor)
            violations += broken
    if violations:
        names = ", ".join(known)
        raise InvalidRequestError(f"the inputs cannot be read as rows; the columns are {names}", tuple(violations))
    for column in contract.columns:
        if column.name not in read:
            read[column.name] = _missing(column, count)
    return read


def _find_problem(tensor: Tensor, column: Column | None, count: int, is_twice: bool) -> tuple[str, str] | None:
    """Why a tensor is not a column of `count` rows: rule and description; None if it is one."""
    if column is None:
        return "UNKNOWN", "is not a column"
    if is_twice:
        return "DUPLICATE", "appears twice"
    if tensor.datatype not in _ALLOWED[column.kind]:
        allowed = ", ".join(_ALLOWED[column.kind])
        return "DATATYPE", f"has datatype {shown(tensor.datatype)}; give one of {allowed}"
    if tensor.shape not in ((count,), (count, 1)):
        return "SHAPE", f"has shape {shown(list(tensor.shape))}; give [{count}] or [{count}, 1], as the first input has"
    if len(tensor.values) != count:
        return "CONTENTS", f"has {len(tensor.values)} values; its shape wants {count}"
    return None


def _missing(column: Column, count: int) -> NDArray[Any]:
    value: Any = {Kind.TEXT: "", Kind.TIMESTAMP: np.datetime64("NaT", "us")}.get(column.kind, np.nan)
    return np.full(count, value, dtype=column.kind.dtype)


def _to_array(column: Column, tensor: Tensor) -> tuple[NDArray[Any], Sequence[FieldViolation]]:
    if column.kind is Kind.TEXT:
        return _read_each(column, tensor.values, _to_text, "")
    if column.kind is Kind.TIMESTAMP:
        if tensor.datatype == BYTES:
            return _read_each(column, tensor.values, _to_instant, np.datetime64("NaT", "us"))
        return _bound(np.asarray(tensor.values, dtype=np.int64)), ()
    return column.round(np.asarray(tensor.values, dtype=np.float64)), ()


def _bound(instants: NDArray[np.int64]) -> NDArray[Any]:
    """Microseconds since 1970 as times. The smallest integer is numpy's missing time."""
    return np.minimum(instants, OUT_OF_RANGE_US).view("M8[us]")


def _read_each(
    column: Column, values: Sequence[bytes | str], read: Callable[[bytes | str], Any], missing: Any
) -> tuple[NDArray[Any], Sequence[FieldViolation]]:
    array = np.full(len(values), missing, dtype=column.kind.dtype)
    violations = []
    for row, value in enumerate(values):
        try:
            array[row] = read(value)
        except ValueError as error:
            violations.append(FieldViolation(locate(row, column.name), "ENCODING", str(error)))
    return array, violations


def _to_text(value: bytes | str) -> str:
    try:
        if isinstance(value, bytes):
            return value.decode()
        # JSON can carry half of a surrogate pair, which is not a character.
        value.encode()
    except UnicodeError:
        raise ValueError("is not valid UTF-8") from None
    return value


def _to_instant(value: bytes | str) -> Any:
    text = _to_text(value)
    if not text:
        return np.datetime64("NaT", "us")
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not a time; give RFC 3339, 2013-01-01T10:15:00Z") from None
    if instant.tzinfo is None:
        raise ValueError(f"{shown(text)} has no time zone; give RFC 3339, 2013-01-01T10:15:00Z")
    try:
        return np.datetime64(instant.astimezone(UTC).replace(tzinfo=None), "us")
    except OverflowError:
        return np.datetime64(OUT_OF_RANGE_US, "us")


def locate(row: int, column: str) -> str:
    """Names a value for the caller, or a row if the column is ""."""
    return f"inputs.{column}[{row}]" if column else f"inputs[{row}]"


def shape_of(given: Iterable[Any]) -> tuple[int, ...]:
    """Checks a shape: integers from 0. Raises MalformedTensorError for any other value."""
    return tuple(_check_sizes(given))


def _check_sizes(given: Iterable[Any]) -> Iterator[int]:
    for size in given:
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise MalformedTensorError(f"has a shape with {shown(size)} in it; give whole numbers from 0")
        yield size
