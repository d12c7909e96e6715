"""The Open Inference Protocol's tensors: each is a column, as a message, as raw bytes or as JSON.

Standard: https://github.com/open-inference/open-inference-protocol
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.contract import Contract
from athanor.contract.messages import OUT_OF_RANGE_US
from athanor.contract.plans import MOST_COLUMNS
from athanor.contract.shown import shown
from athanor.serving.answering.refusals import Unread, Violations
from athanor.serving.formats.json_body import Turns
from athanor.serving.formats.values import (
    MISSING,
    NOT_A_TIME_US,
    Read,
    UnreadableError,
    read_number,
    reader_of,
    show,
    to_array,
)

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
_MOST_DIMENSIONS: Final = 8
_VALUES_A_TURN: Final = 500


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input, decoded by a door.

    Attributes:
        values: an array of numbers, or a list of JSON values or, for BYTES, of `bytes`. One-dimensional.
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


def split_bytes(raw: bytes, most: int | None = None) -> list[bytes]:
    """The values of a raw BYTES tensor. Raises MalformedTensorError beyond `most`, or if lengths do not add up."""
    limit = len(raw) if most is None else most
    if same := _split_equal(raw, limit):
        return same
    values: list[bytes] = []
    at = 0
    while at < len(raw):
        if len(values) == limit:
            raise _too_many(limit)
        if at + _LENGTH.size > len(raw):
            raise MalformedTensorError(f"ends within the length of value {len(values)}")
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if at + length > len(raw):
            raise MalformedTensorError(f"ends within value {len(values)}, which should have {length} bytes")
        values.append(raw[at : at + length])
        at += length
    return values


def _too_many(most: int) -> MalformedTensorError:
    return MalformedTensorError(f"has more than {most} values; give as many as the first input has rows")


def _split_equal(raw: bytes, most: int) -> list[bytes]:
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
    if len(records) > most:
        raise _too_many(most)
    return [value.tobytes() for value in records["value"]] if length > 64 else _to_list(records["value"], length)


def _to_list(values: NDArray[Any], length: int) -> list[bytes]:
    joined = values.tobytes()
    return [joined[at : at + length] for at in range(0, len(joined), length)]


def join_bytes(values: Iterable[bytes]) -> bytes:
    """Raw contents of a BYTES tensor."""
    return b"".join(_LENGTH.pack(len(value)) + value for value in values)


def to_raw(column: Column, values: NDArray[Any]) -> bytes:
    """Raw contents of the tensor of a column's values, none of them missing."""
    if column.kind is Kind.TEXT:
        return join_bytes(text.encode() for text in values.tolist())
    return values.astype(DTYPES[datatype_of(column)]).tobytes()


def read_raw(datatype: str, raw: bytes, most: int | None = None) -> Any:
    """The values of raw contents, as `Tensor` holds them. Raises MalformedTensorError if they cannot be read."""
    if datatype == BYTES:
        return split_bytes(raw, most)
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise MalformedTensorError(f"has the unknown datatype {shown(datatype)}")
    if len(raw) % dtype.itemsize:
        raise MalformedTensorError(f"has {len(raw)} bytes; {datatype} takes {dtype.itemsize} for each value")
    return np.frombuffer(raw, dtype)


class ColumnReader:
    """Reads the inputs of a request, one after another, into the contract's columns.

    The first input says how many rows there are. A column without an input is missing in every row.
    """

    def __init__(self, contract: Contract, check_count: Callable[[int], None]) -> None:
        """Args: check_count: raises an error for a number of rows that is not allowed."""
        self._contract = contract
        self._check_count = check_count
        self._known = {column.name: column for column in contract.columns}
        self._arrays: dict[str, NDArray[Any]] = {}
        self._count: int | None = None
        self.violations = Violations()
        self.unread = Unread()

    def expect(self, shape: tuple[int, ...]) -> int:
        """The number of rows, and of values that each input has; call it before the values of an input are read."""
        if self._count is None:
            self._count = shape[0] if shape else 0
            # First: a short message can name a long tensor, and each column that it leaves out becomes as long.
            if self._count:
                self._check_count(self._count)
        return self._count

    def add(self, tensor: Tensor) -> Turns[None]:
        """Reads an input. Notes what is wrong with it in `violations`, and with its values in `unread`."""
        count = self.expect(tensor.shape)
        column = self._known.get(tensor.name)
        if problem := _find_problem(tensor, column, count, tensor.name in self._arrays):
            self.violations.add(f"inputs.{shown(tensor.name)}", *problem)
        elif column:
            self._arrays[tensor.name] = yield from _read(column, tensor, self.unread)

    def columns(self) -> Columns:
        """The columns. Raises InvalidRequestError for `violations`, or if there are no rows."""
        names = ", ".join(self._known)
        if self.violations:
            for violation in self.unread.violations(locate):
                self.violations.add(violation.field, violation.rule, violation.description)
        self.violations.raise_any(f"the inputs cannot be read as rows; the columns are {names}")
        count = self._count or 0
        self._check_count(count)
        for name, column in self._known.items():
            if name not in self._arrays:
                self._arrays[name] = to_array(column, [MISSING[column.kind]] * count)
        return self._arrays


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


def _read(column: Column, tensor: Tensor, unread: Unread) -> Turns[NDArray[Any]]:
    if isinstance(tensor.values, np.ndarray):
        return _convert(column, tensor.datatype, tensor.values, unread)
    read = _reader_of(column, tensor.datatype)
    found = [MISSING[column.kind]] * len(tensor.values)
    for row, value in enumerate(tensor.values):
        if row % _VALUES_A_TURN == _VALUES_A_TURN - 1:
            yield
        if value is None:
            continue
        try:
            found[row] = read(value)
        except UnreadableError as error:
            unread.add(row, column, error.rule, error.description)
    return to_array(column, found)


def _convert(column: Column, datatype: str, given: NDArray[Any], unread: Unread) -> NDArray[Any]:
    """Reads numbers. They may have more bits than their datatype: protobuf has 32 for the smallest."""
    missing = MISSING[column.kind]
    array = np.asarray(given, dtype=np.int64 if column.kind is Kind.TIMESTAMP else np.float64)
    if datatype in _WHOLE and given.dtype != DTYPES[datatype]:
        limits = np.iinfo(DTYPES[datatype].str)
        rows = np.flatnonzero((given < limits.min) | (given > limits.max)).tolist()
        array = array.copy() if rows else array
        for row in rows:
            unread.add(row, column, "TYPE", _describe_range(int(given[row]), datatype))
            array[row] = missing
    if column.kind is Kind.TIMESTAMP:
        # Microseconds since 1970. The smallest integer is numpy's missing time.
        return np.minimum(array, OUT_OF_RANGE_US).view("M8[us]")
    return column.round(array)


def _describe_range(value: Any, datatype: str) -> str:
    limits = np.iinfo(DTYPES[datatype].str)
    return f"{show(value)} is not an {datatype}; give a whole number from {limits.min} to {limits.max}"


@lru_cache(MOST_COLUMNS)
def _reader_of(column: Column, datatype: str) -> Read:
    """Reads values in JSON, or text in bytes."""
    read = reader_of(column)
    if datatype == BYTES:
        return read
    if datatype == "BOOL":
        # A number may be given as a boolean if it is said to be one.
        return lambda value: float(value) if isinstance(value, bool) else read(value)
    if datatype not in _WHOLE:
        return read
    limits = np.iinfo(DTYPES[datatype].str)
    lowest, highest, allowed = int(limits.min), int(limits.max), f"a whole number from {limits.min} to {limits.max}"
    is_time = column.kind is Kind.TIMESTAMP

    def read_whole(value: Any) -> float | int:
        number = read_number(value, allowed) if is_time or isinstance(value, str) else read(value)
        if number != number:  # noqa: PLR0124 - NaN is missing
            return NOT_A_TIME_US if is_time else number
        # As it was given: the doubles near 2**63 are far apart.
        exact = value if type(value) is int else number
        if not (number % 1 == 0 and lowest <= exact <= highest):
            raise UnreadableError("TYPE", _describe_range(value, datatype))
        return min(int(exact), OUT_OF_RANGE_US) if is_time else number

    return read_whole


def locate(row: int, column: str) -> str:
    """Names a value for the caller, or a row if the column is ""."""
    return f"inputs.{column}[{row}]" if column else f"inputs[{row}]"


def shape_of(given: Sequence[Any]) -> tuple[int, ...]:
    """Checks a shape: a few integers from 0. Raises MalformedTensorError for any other value."""
    if len(given) > _MOST_DIMENSIONS:
        raise MalformedTensorError(f"has a shape of {len(given)} dimensions; give [n] or [n, 1]")
    return tuple(_check_sizes(given))


def _check_sizes(given: Iterable[Any]) -> Iterator[int]:
    for size in given:
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise MalformedTensorError(f"has a shape with {show(size)} in it; give whole numbers from 0")
        yield size
