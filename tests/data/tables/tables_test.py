"""Frames and Arrow tables to contract columns and back."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY
from support.protos import Toy, make_field

from athanor.contract.columns import Column, Kind
from athanor.contract.messages import is_missing, to_columns, to_messages
from athanor.contract.validation import validate
from athanor.data.tables.tables import (
    arrow_schema,
    from_arrow,
    from_frame,
    join_blocks,
    to_arrow,
    to_frame,
    to_lenient_arrow,
)
from athanor.errors import DataError

_COLUMNS = Toy().read().columns


def _frame(**changed: Any) -> pd.DataFrame:
    """Two rows; of the second, all that may be missing is."""
    values: dict[str, Any] = {
        "at": pd.to_datetime(["2013-01-01T05:00:00-05:00", "2013-01-02T00:00:00Z"], utc=True),
        "id": [1, 2],
        "amount": [1.5, np.nan],
        "count": [3, None],
        "color": ["red", None],
        "code": ["A", np.nan],
        "is_new": [True, False],
    }
    return pd.DataFrame({**values, **changed})


def _assert_read(frame: pd.DataFrame) -> None:
    values, mistyped = from_frame(_COLUMNS, frame)
    assert mistyped == ()
    assert {name: array.dtype for name, array in values.items()} == {c.name: c.kind.dtype for c in _COLUMNS}
    assert values["at"].astype(str).tolist() == ["2013-01-01T10:00:00.000000", "2013-01-02T00:00:00.000000"]
    assert values["color"].tolist() == ["red", ""]
    assert values["code"].tolist() == ["A", ""]
    np.testing.assert_array_equal(values["id"], [1.0, 2.0])
    np.testing.assert_array_equal(values["amount"], [1.5, np.nan])
    np.testing.assert_array_equal(values["count"], [3.0, np.nan])
    np.testing.assert_array_equal(values["is_new"], [1.0, 0.0])


def test_pandas_missing_values_become_the_missing_value_of_the_kind() -> None:
    _assert_read(_frame())


def test_equivalent_pandas_dtypes_give_the_same_columns() -> None:
    _assert_read(
        _frame(
            at=pd.to_datetime(["2013-01-01T05:00:00", "2013-01-01T19:00:00"]).tz_localize("America/New_York"),
            id=pd.array([1, 2], dtype="Int32"),
            amount=pd.array([1.5, pd.NA], dtype="Float64"),
            count=pd.array([3, pd.NA], dtype="UInt8"),
            color=pd.array(["red", pd.NA], dtype="string"),
            code=np.array(["A", None], dtype=object),
            is_new=pd.array([True, False], dtype="boolean"),
        )
    )


def test_missing_instants_and_truths_are_read_too() -> None:
    values, _ = from_frame(
        _COLUMNS, _frame(at=pd.to_datetime(["NaT", "NaT"], utc=True), is_new=pd.array([True, pd.NA], dtype="boolean"))
    )
    assert np.isnat(values["at"]).all()
    np.testing.assert_array_equal(values["is_new"], [1.0, np.nan])


def test_an_empty_frame_makes_empty_columns() -> None:
    assert {len(array) for array in from_frame(_COLUMNS, _frame().iloc[:0])[0].values()} == {0}


def test_absent_and_unknown_columns_are_named() -> None:
    frame = _frame().rename(columns={"amount": "weight"}).assign(dep_delay=1)
    with pytest.raises(DataError, match=r"missing: \['amount'\], unknown: \['dep_delay', 'weight'\]"):
        from_frame(_COLUMNS, frame)


def test_a_column_that_is_there_twice_is_named() -> None:
    frame = pd.concat([_frame(), _frame()[["color"]]], axis=1)
    with pytest.raises(DataError, match=r"duplicate columns: \['color'\]"):
        from_frame(_COLUMNS, frame)


_NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "given", "wrong"),
    [
        ("amount", ["1.5", "2"], [0, 1]),
        ("amount", pd.to_datetime(["2013-01-01", "2013-01-01"]), [0, 1]),
        ("amount", np.array([1.5, "x"], dtype=object), [1]),
        ("amount", np.array([None, "x"], dtype=object), [1]),
        ("is_new", ["yes", "no"], [0, 1]),
        ("color", [1, 2], [0, 1]),
        ("color", np.array(["red", 2], dtype=object), [1]),
        ("at", ["2013-01-01", None], [0]),
        ("at", pd.to_datetime(["2013-01-01", "2013-01-02"]), [0, 1]),
        ("at", [1, 2], [0, 1]),
        ("at", np.array([_NOON, _NOON.replace(tzinfo=None)], dtype=object), [1]),
    ],
)
def test_values_of_another_type_are_reported_and_count_as_missing(name: str, given: Any, wrong: list[int]) -> None:
    frame = _frame(**{name: given})
    values, (mistyped,) = from_frame(_COLUMNS, frame)
    assert (mistyped.column.name, mistyped.rows.tolist()) == (name, wrong)
    assert list(mistyped.values) == frame[name].iloc[wrong].tolist()
    assert is_missing(mistyped.column, values[name])[wrong].all()


def test_values_of_the_right_type_beside_wrong_ones_are_read() -> None:
    frame = _frame(
        amount=np.array([1.5, "x"], dtype=object),
        color=np.array(["red", 2], dtype=object),
        at=np.array([_NOON, "noon"], dtype=object),
    )
    values, mistyped = from_frame(_COLUMNS, frame)
    assert [found.column.name for found in mistyped] == ["at", "amount", "color"]
    assert (values["amount"][0], values["color"].tolist()) == (1.5, ["red", ""])
    assert str(values["at"][0]) == "2013-01-01T12:00:00.000000"


def test_values_that_look_valid_but_cannot_be_stored_are_reported() -> None:
    """A number beyond all floats, one with two parts, and half of a character."""
    frame = _frame(amount=np.array([1.5, 10**400], dtype=object), count=np.array([1, 2 + 1j]))
    frame["color"] = pd.Series(["red", "\ud800"], dtype=object)
    _, mistyped = from_frame(_COLUMNS, frame)
    found = {found.column.name: found.rows.tolist() for found in mistyped}
    assert found == {"amount": [1], "count": [0, 1], "color": [1]}


def test_categories_and_arrows_own_types_are_read_too() -> None:
    _assert_read(
        _frame(
            at=pd.array(
                [_NOON.replace(hour=10), datetime(2013, 1, 2, tzinfo=UTC)], dtype=_arrow(pa.timestamp("us", "UTC"))
            ),
            amount=pd.array([1.5, None], dtype=_arrow(pa.float64())),
            color=pd.Categorical(["red", None]),
            code=pd.array(["A", None], dtype=_arrow(pa.string())),
        )
    )


def _arrow(kind: pa.DataType) -> Any:
    return pd.ArrowDtype(kind)


_BEYOND_FLOATS = 2**53 + 1
_RAW = {
    "int": pa.array([_BEYOND_FLOATS, None, 3]),
    "byte": pa.array([1, None, 3], pa.uint8()),
    "bool": pa.array([True, None, False]),
    "text": pa.array(["a", None, "b"]),
    "number": pa.array([1.5, None, 2.5]),
    "category": pa.array(["a", None, "b"]).dictionary_encode(),
    "coded number": pa.array([7, None, 8]).dictionary_encode(),
    "time": pa.array([_NOON, None, _NOON]),
    "date": pa.array([_NOON.date(), None, _NOON.date()]),
    "decimal": pa.array([Decimal("1.5"), None, Decimal("2")]),
    "uuid": pa.array([UUID(int=7).bytes, None, UUID(int=8).bytes], pa.uuid()),
    "json": pa.array(["{}", None, "[1]"], pa.json_(pa.string())),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None, 0], pa.int8())),
}


@pytest.mark.parametrize("name", _RAW)
def test_the_dtypes_of_a_raw_table_do_not_depend_on_its_values(name: str) -> None:
    table = pa.table({name: _RAW[name]})
    whole = to_frame(table)
    for part in (table.slice(0, 1), table.slice(1, 1), table.slice(2), table.slice(0, 0)):
        assert to_frame(part).dtypes.tolist() == whole.dtypes.tolist()
    assert whole[name].isna().tolist() == [False, True, False]


def test_raw_values_are_given_to_a_transform_exactly() -> None:
    frame = to_frame(pa.table(_RAW))
    assert frame.dtypes.astype(str).to_dict() == {
        "int": "Int64",
        "byte": "UInt8",
        "bool": "boolean",
        "text": "str",
        "number": "float64",
        "category": "str",
        "coded number": "Int64",
        "time": "datetime64[us, UTC]",
        "date": "object",
        "decimal": "object",
        "uuid": "str",
        "json": "str",
        "bool8": "boolean",
    }
    assert frame["int"].astype("str").tolist()[0] == str(_BEYOND_FLOATS)
    assert frame["uuid"][0] == str(UUID(int=7))
    assert frame["json"].tolist()[2] == "[1]"


def test_missing_values_of_any_type_are_not_mistyped() -> None:
    for name in ("amount", "color", "count", "is_new"):
        values, mistyped = from_frame(_COLUMNS, _frame(**{name: np.array([None, np.nan], dtype=object)}))
        assert mistyped == ()
        assert is_missing(next(c for c in _COLUMNS if c.name == name), values[name]).all()


def test_values_of_the_right_type_are_read_valid_or_not() -> None:
    """Whether a value meets the contract is checked by validation, which counts rows."""
    values, _ = from_frame(_COLUMNS, _frame(amount=[np.inf, -5.0], id=[1.5, 2.0], is_new=[7, 8], color=["blue", "?"]))
    assert values["amount"].tolist() == [np.inf, -5.0]
    assert values["id"].tolist() == [1.5, 2.0]
    assert values["is_new"].tolist() == [7.0, 8.0]


def test_arrow_tables_have_types_of_their_own_and_nulls() -> None:
    table = to_arrow(_COLUMNS, from_frame(_COLUMNS, _frame())[0])
    assert {name: str(table.schema.field(name).type) for name in table.column_names} == {
        "at": "timestamp[us, tz=UTC]",
        "id": "int64",
        "amount": "double",
        "count": "int64",
        "color": "string",
        "code": "string",
        "is_new": "bool",
    }
    assert {name: table[name].null_count for name in table.column_names} == {
        **dict.fromkeys(("at", "id", "is_new"), 0),
        **dict.fromkeys(("amount", "count", "color", "code"), 1),
    }


def test_the_schema_is_known_without_rows() -> None:
    assert arrow_schema(_COLUMNS) == to_arrow(_COLUMNS, from_frame(_COLUMNS, _frame())[0]).schema


def test_columns_that_do_not_keep_the_contract_can_be_written_too() -> None:
    values, _ = from_frame(_COLUMNS, _frame(is_new=[0.5, np.nan], id=[1.5, np.inf]))
    table = to_lenient_arrow(_COLUMNS, values)
    assert (table["is_new"].to_pylist(), table["id"].to_pylist()) == ([0.5, None], [1.5, np.inf])
    assert (table["code"].to_pylist(), str(table["at"].type)) == (["A", None], "timestamp[us, tz=UTC]")


def test_a_table_that_lacks_a_column_was_made_under_another_contract() -> None:
    table = to_arrow(_COLUMNS, from_frame(_COLUMNS, _frame())[0]).drop_columns(["amount", "code"])
    with pytest.raises(DataError, match="the snapshot has no column amount, code"):
        from_arrow(_COLUMNS, table)


def _values(column: Column) -> st.SearchStrategy[Any]:
    if column.kind is Kind.TEXT:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    if column.kind is Kind.TIMESTAMP:
        return st.none() | st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
    whole = st.integers(0, 1) if column.kind is Kind.BOOLEAN else st.integers(-(2**31), 2**31 - 1)
    return st.floats() if column.kind is Kind.NUMBER else st.just(np.nan) | whole.map(float)


@PROPERTY
@given(st.data(), st.integers(0, 4))
def test_whatever_the_values_columns_come_back_from_arrow_as_they_were(data: st.DataObject, length: int) -> None:
    values = {}
    for column in _COLUMNS:
        drawn = data.draw(st.lists(_values(column), min_size=length, max_size=length))
        if column.kind is Kind.TIMESTAMP:
            drawn = [np.datetime64("NaT") if us is None else np.datetime64(us, "us") for us in drawn]
        values[column.name] = np.array(drawn, dtype=column.kind.dtype)
    table = to_arrow(_COLUMNS, values)
    parts = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    back = from_arrow(_COLUMNS, parts)
    for column in _COLUMNS:
        assert back[column.name].dtype == column.kind.dtype
        np.testing.assert_array_equal(back[column.name], values[column.name], err_msg=column.name)


def test_blocks_stand_beside_each_other_with_types_of_their_own() -> None:
    frame = join_blocks(
        (("a", "b"), np.ones((2, 2), dtype=np.float32)), (("c",), np.array([["x"], [""]], dtype=object))
    )
    assert list(frame.columns) == ["a", "b", "c"]
    assert [str(dtype) for dtype in frame.dtypes[:2]] == ["float32", "float32"]
    assert frame["c"].tolist() == ["x", ""]


@pytest.mark.parametrize("unit", ["s", "ms"])
@pytest.mark.parametrize("is_arrow", [False, True])
def test_an_instant_beyond_64_bits_of_microseconds_is_mistyped_and_does_not_wrap(unit: str, is_arrow: bool) -> None:
    instants = np.array([0, 2**62, 2**55, -(2**62), 253_402_300_799], f"M8[{unit}]")
    at = pd.Series(instants).astype(pd.ArrowDtype(pa.timestamp(unit, "UTC"))) if is_arrow else None
    at = pd.Series(instants).dt.tz_localize("UTC") if at is None else at
    frame = pd.concat([_frame(), _frame(), _frame()], ignore_index=True).head(5).assign(at=at)
    values, (mistyped,) = from_frame(_COLUMNS, frame)
    assert (mistyped.column.name, mistyped.rows.tolist()) == ("at", [1, 2, 3])
    assert list(mistyped.values) == instants[1:4].tolist() or list(mistyped.values) == list(instants[1:4])
    expected = np.array([instants[0], "NaT", "NaT", "NaT", instants[4]], "M8[us]")
    np.testing.assert_array_equal(values["at"], expected)


def test_an_object_beyond_the_calendar_is_mistyped_and_does_not_wrap() -> None:
    at = pd.Series([pd.Timestamp("2013-01-01", tz="UTC"), pd.Timestamp(2**40, unit="s", tz="UTC")], dtype=object)
    values, (mistyped,) = from_frame(_COLUMNS, _frame(at=at))
    assert (mistyped.rows.tolist(), mistyped.values[0].year) == ([1], 36_812)
    assert values["at"].astype(str).tolist() == ["2013-01-01T00:00:00.000000", "NaT"]


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "object"])
def test_a_32_bit_column_has_the_values_that_a_message_holds(dtype: Any) -> None:
    """A snapshot with 0.3 would break `maximum: 0.3` at the door, which reads 0.30000001192."""
    toy = Toy()
    toy.row.field.append(make_field("ratio", 8, "float", description="A share", minimum=0.1, maximum=0.3))
    contract = toy.read()
    column, row_class = contract.column("ratio"), GetMessageClass(contract.row)
    given = [0.1, 0.123456789, 0.2, 0.3]
    values, mistyped = from_frame([column], pd.DataFrame({"ratio": given}).astype(dtype))
    assert mistyped == ()
    assert validate([column], values) == ()
    received = [row_class.FromString(row.SerializeToString()) for row in to_messages([column], values, row_class)]
    np.testing.assert_array_equal(to_columns([column], received)["ratio"], values["ratio"])
    np.testing.assert_array_equal(from_arrow([column], to_arrow([column], values))["ratio"], values["ratio"])
    of_earlier_version = pa.table({"ratio": given})
    np.testing.assert_array_equal(from_arrow([column], of_earlier_version)["ratio"], values["ratio"])
    json = [json_format.ParseDict(json_format.MessageToDict(row), row_class()) for row in received]
    np.testing.assert_array_equal(to_columns([column], json)["ratio"], values["ratio"])
