"""Tensors, read into the contract's columns."""

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY
from support.protos import Toy, make_field
from support.reading import finish
from support.tensors import pack

from athanor.contract.columns import Columns, Kind
from athanor.contract.contract import Contract
from athanor.contract.messages import OUT_OF_RANGE_US
from athanor.contract.validation import Rule, validate
from athanor.errors import FieldViolation, InvalidRequestError
from athanor.serving.formats.tensors import (
    BYTES,
    DTYPES,
    ColumnReader,
    MalformedTensorError,
    Tensor,
    datatype_of,
    join_bytes,
    locate,
    read_raw,
    shape_of,
    split_bytes,
)
from projects.delays.model import MODEL

_TOY: Final = Toy().read()
_WHOLE: Final = [name for name in DTYPES if "INT" in name]


def _tensor(name: str, datatype: str, values: Sequence[Any], shape: tuple[int, ...] | None = None) -> Tensor:
    read = list(values) if datatype == BYTES else np.array(values, dtype=DTYPES.get(datatype))
    return Tensor(name, datatype, (len(values),) if shape is None else shape, read)


def to_columns(contract: Contract, tensors: Sequence[Tensor]) -> Columns:
    reader = ColumnReader(contract, lambda count: None)
    for tensor in tensors:
        finish(reader.add(tensor))
    columns = reader.columns()
    if reader.unread:
        raise InvalidRequestError("values cannot be read", tuple(reader.unread.violations(locate)))
    return columns


def _read(*tensors: Tensor) -> Columns:
    return to_columns(_TOY, tensors)


def _refuse(*tensors: Tensor) -> list[tuple[str, str]]:
    return [(violation.field, violation.rule) for violation in _violations(*tensors)]


def _violations(*tensors: Tensor) -> tuple[FieldViolation, ...]:
    with pytest.raises(InvalidRequestError) as caught:
        to_columns(_TOY, tensors)
    return caught.value.violations


@pytest.mark.parametrize("datatype", _WHOLE)
def test_whole_numbers_of_every_size_are_read_with_their_extremes(datatype: str) -> None:
    limits = np.iinfo(datatype.lower())
    values = [limits.min, 0, 1, limits.max]
    raw = b"".join(value.to_bytes(DTYPES[datatype].itemsize, "little", signed=limits.min < 0) for value in values)
    assert read_raw(datatype, raw).tolist() == values
    found = _read(Tensor("amount", datatype, (4,), read_raw(datatype, raw)))["amount"]
    assert found.tolist() == [float(value) for value in values]


@pytest.mark.parametrize(("datatype", "letter"), [("FP16", "e"), ("FP32", "f"), ("FP64", "d")])
def test_numbers_are_read_with_nan_and_infinity(datatype: str, letter: str) -> None:
    values = [0.0, -0.0, 1.5, float("inf"), float("-inf"), float("nan")]
    found = _read(Tensor("amount", datatype, (6,), read_raw(datatype, struct.pack(f"<6{letter}", *values))))["amount"]
    np.testing.assert_array_equal(found, values)
    assert np.signbit(found).tolist()[:2] == [False, True]
    assert found.dtype == np.float64


def test_a_byte_that_is_not_zero_is_true() -> None:
    for name in ("is_new", "amount"):
        found = _read(Tensor(name, "BOOL", (4,), read_raw("BOOL", b"\x00\x01\x02\xff")))
        assert found[name].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b""],
        [b"", b""],
        [b"a"],
        [b"UA", b"DL"],
        [b"a", b"bc", b""],
        [b"\x00\x00\x00\x00"],
        [b"\x01\x00\x00\x00", b""],
        [b"x" * 65, b"y" * 65],
        [b"x" * 300, b"y"],
    ],
)
def test_bytes_come_back_whatever_their_lengths(values: list[bytes]) -> None:
    assert join_bytes(values) == pack(BYTES, values)
    assert split_bytes(pack(BYTES, values)) == values


@PROPERTY
@given(
    st.lists(st.binary(max_size=5)) | st.integers(1, 80).flatmap(lambda n: st.lists(st.binary(min_size=n, max_size=n)))
)
def test_any_bytes_come_back(values: list[bytes]) -> None:
    assert split_bytes(join_bytes(values)) == values


@PROPERTY
@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_split_whole_or_refused(raw: bytes) -> None:
    try:
        values = split_bytes(raw)
    except MalformedTensorError:
        return
    assert pack(BYTES, values) == raw


@pytest.mark.parametrize(
    ("datatype", "raw", "message"),
    [
        ("FP64", b"1234567", "has 7 bytes; FP64 takes 8 for each value"),
        ("INT16", b"1", "has 1 bytes; INT16 takes 2 for each value"),
        (BYTES, b"\x01", "ends within the length of value 0"),
        (BYTES, b"\x02\x00\x00\x00a", "ends within value 0, which should have 2 bytes"),
        (BYTES, b"\x01\x00\x00\x00a\x01\x00\x00", "ends within the length of value 1"),
        (BYTES, b"\xff\xff\xff\xffa", "ends within value 0, which should have 4294967295 bytes"),
        (BYTES, b"\x02\x00\x00\x00ab\x03\x00\x00\x00ab", "ends within value 1, which should have 3 bytes"),
        ("FP8", b"", "has the unknown datatype 'FP8'"),
        ("", b"", "has the unknown datatype ''"),
        ("fp64", b"", "has the unknown datatype 'fp64'"),
    ],
)
def test_raw_contents_that_are_cut_or_unknown_are_refused(datatype: str, raw: bytes, message: str) -> None:
    with pytest.raises(MalformedTensorError, match=message):
        read_raw(datatype, raw)


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_column_lies_flat_or_upright(shape: tuple[int, ...]) -> None:
    assert _read(_tensor("amount", "FP64", [1, 2], shape))["amount"].tolist() == [1, 2]


@pytest.mark.parametrize("shape", [(1, 2), (2, 1, 1), (3,), (1,), (), (2, 0)])
def test_any_other_shape_is_refused(shape: tuple[int, ...]) -> None:
    assert _refuse(_tensor("id", "INT32", [1, 2]), _tensor("amount", "FP64", [1, 2], shape)) == [
        ("inputs.'amount'", "SHAPE")
    ]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_shape_that_promises_another_count_is_refused(count: int) -> None:
    assert _refuse(_tensor("amount", "FP64", [1, 2], (count,))) == [("inputs.'amount'", "CONTENTS")]


def test_a_long_shape_is_shortened_in_the_error() -> None:
    (violation,) = _violations(_tensor("id", "INT32", [1]), _tensor("amount", "FP64", [1], (1,) * 100_000))
    assert violation.rule == "SHAPE"
    assert len(violation.description) < 300


def test_a_column_without_a_tensor_is_missing_in_every_row() -> None:
    found = _read(_tensor("id", "INT32", [1, 2]))
    assert {name: (len(array), array.dtype) for name, array in found.items()} == {
        column.name: (2, column.kind.dtype) for column in _TOY.columns
    }
    assert np.isnat(found["at"]).all()
    assert found["color"].tolist() == ["", ""]
    assert np.isnan(found["amount"]).all()


def test_no_tensors_are_no_rows() -> None:
    assert all(len(array) == 0 for array in _read().values())


def test_the_first_tensor_sets_the_number_of_rows() -> None:
    counts: list[int] = []
    reader = ColumnReader(_TOY, counts.append)
    assert [reader.expect(shape) for shape in ((2,), (1,), ())] == [2, 2, 2]
    assert counts == [2]


def test_every_violation_is_named_at_once() -> None:
    found = _refuse(
        _tensor("id", "INT32", [1, 2]),
        _tensor("weight", "FP64", [1, 2]),
        _tensor("id", "INT32", [3, 4]),
        _tensor("amount", BYTES, [b"1", b"2"]),
        _tensor("color", "INT32", [1, 2]),
        _tensor("count", "UINT32", [1, 2], (2, 2)),
        _tensor("code", BYTES, [b"A", b"\xff"]),
        _tensor("at", BYTES, [b"yesterday", b"2013-01-01T10:15:00"]),
        Tensor("is_new", "BOOL", (2,), np.array([True])),
    )
    assert found == [
        ("inputs.'weight'", "UNKNOWN"),
        ("inputs.'id'", "DUPLICATE"),
        ("inputs.'amount'", "DATATYPE"),
        ("inputs.'color'", "DATATYPE"),
        ("inputs.'count'", "SHAPE"),
        ("inputs.'is_new'", "CONTENTS"),
        ("inputs.at[0]", "ENCODING"),
        ("inputs.at[1]", "ENCODING"),
        ("inputs.code[1]", "ENCODING"),
    ]


@pytest.mark.parametrize(
    ("column", "datatypes"),
    [
        ("amount", [*_WHOLE, "BOOL", "FP16", "FP32", "FP64"]),
        ("id", [*_WHOLE, "BOOL", "FP16", "FP32", "FP64"]),
        ("is_new", [*_WHOLE, "BOOL", "FP16", "FP32", "FP64"]),
        ("color", [BYTES]),
        ("at", ["INT64", BYTES]),
    ],
)
def test_a_column_takes_the_datatypes_that_can_hold_its_values(column: str, datatypes: list[str]) -> None:
    for datatype in (*DTYPES, BYTES):
        tensor = _tensor(column, datatype, [])
        if datatype in datatypes:
            assert len(_read(tensor)[column]) == 0
        else:
            assert _refuse(tensor) == [(f"inputs.'{column}'", "DATATYPE")]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2013-01-01T10:15:00Z", "2013-01-01T10:15:00"),
        ("2013-01-01T10:15:00+00:00", "2013-01-01T10:15:00"),
        ("2013-01-01T10:15:00-05:00", "2013-01-01T15:15:00"),
        ("2013-01-01T10:15:00.123456Z", "2013-01-01T10:15:00.123456"),
        ("2013-01-01T10:15:00.123456789Z", "2013-01-01T10:15:00.123456"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999"),
        ("", "NaT"),
    ],
)
def test_a_time_may_be_text_with_its_zone(text: str, instant: str) -> None:
    for value in (text, text.encode()):
        np.testing.assert_array_equal(_read(Tensor("at", BYTES, (1,), [value]))["at"], [np.datetime64(instant, "us")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2013-01-01T10:15:00", "has no time zone; give RFC 3339, 2013-01-01T10:15:00Z"),
        ("2013-01-01", "has no time zone"),
        ("yesterday", "'yesterday' is not a time; give RFC 3339"),
        ("2013-13-01T10:15:00Z", "is not a time"),
        ("10000-01-01T00:00:00Z", "is not a time"),
        ("2013-01-01T10:15:00+25:00", "is not a time"),
        ("\x00", "is not a time"),
        ("\ud800", "is not valid UTF-8"),
        ("x" * 1_000, "… is not a time"),
    ],
)
def test_text_that_is_not_a_time_is_refused_with_the_format(text: str, message: str) -> None:
    (violation,) = _violations(Tensor("at", BYTES, (1,), [text]))
    assert (violation.field, violation.rule) == ("inputs.at[0]", "ENCODING")
    assert message in violation.description


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_beyond_the_last_year_is_out_of_range(text: str) -> None:
    found = _read(Tensor("at", BYTES, (1,), [text]))["at"]
    assert found.astype(np.int64).tolist() == [OUT_OF_RANGE_US]


@pytest.mark.parametrize("us", [2**63 - 1, -(2**63) + 1, OUT_OF_RANGE_US, -62_135_596_800_000_001])
def test_microseconds_out_of_range_are_named_so_and_never_wrap(us: int) -> None:
    at = _TOY.column("at")
    (breach,) = validate([at], _read(_tensor("at", "INT64", [us])))
    assert breach.rule is Rule.TIMESTAMP
    assert breach.values.astype(np.int64).tolist() == [min(us, OUT_OF_RANGE_US)]


@pytest.mark.parametrize(
    "value", [b"\xff", b"\xc3", b"\xed\xa0\x80", "\ud800", "a\udfff"], ids=["byte", "cut", "surrogate", "half", "tail"]
)
def test_text_that_is_not_utf_8_is_refused(value: bytes | str) -> None:
    (violation,) = _violations(Tensor("color", BYTES, (2,), ["red", value]))
    assert violation == FieldViolation("inputs.color[1]", "ENCODING", "is not valid UTF-8")


def test_a_column_that_may_be_missing_has_a_datatype_with_nan() -> None:
    told = {column.name: datatype_of(column) for column in _TOY.columns}
    assert told == {
        "at": "INT64",
        "id": "INT64",
        "amount": "FP64",
        "count": "FP64",
        "color": BYTES,
        "code": BYTES,
        "is_new": "FP64",
    }
    assert [datatype_of(column) for column in MODEL.contract.outcome_columns if column.kind is Kind.BOOLEAN] == ["BOOL"]


@pytest.mark.parametrize("given", [[-1], [True], [1.0], ["1"], [None], [[1]], [2, -1]])
def test_a_shape_holds_integers_from_zero(given: list[Any]) -> None:
    assert shape_of([0, 2]) == (0, 2)
    with pytest.raises(MalformedTensorError, match="give whole numbers from 0"):
        shape_of(given)


@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
def test_a_32_bit_column_is_read_in_32_bits(datatype: str) -> None:
    toy = Toy()
    toy.row.field.append(make_field("ratio", 8, "float", description="A share", maximum=0.3))
    contract = toy.read()
    values = np.array([0.3, 0.1, np.nan, 1e39 if datatype == "FP64" else np.inf], dtype=DTYPES[datatype])
    read = to_columns(contract, [Tensor("ratio", datatype, (4,), values)])["ratio"]
    np.testing.assert_array_equal(read, [0.30000001192092896, 0.10000000149011612, np.nan, np.inf])
    assert datatype_of(contract.column("ratio")) == "FP32"
    assert [breach.rule for breach in validate([contract.column("ratio")], {"ratio": read[:2]})] == []
