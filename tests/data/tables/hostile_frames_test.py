"""Frames of dtypes that a transform may return by accident: read rightly, or reported value by value."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.protos import Toy

from athanor.data.tables.tables import from_frame

_COLUMNS = Toy().read().columns
_NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
_AT = np.datetime64("2013-01-01T12:00", "us")


def _read(name: str, given: Any) -> tuple[list[Any], list[int]]:
    """The values of one column of a frame, and the rows whose values are of another kind."""
    values = {
        "at": [_NOON] * 3,
        "id": [1, 2, 3],
        "amount": [1.0] * 3,
        "count": [3] * 3,
        "color": ["red"] * 3,
        "code": ["A"] * 3,
        "is_new": [True] * 3,
    }
    columns, mistyped = from_frame(_COLUMNS, pd.DataFrame({**values, name: given}))
    return columns[name].tolist(), [row for found in mistyped for row in found.rows.tolist()]


def _objects(*values: Any) -> "pd.Series[Any]":
    return pd.Series(values, dtype=object)


def _arrow(values: pa.Array) -> Any:
    return pd.array(values.to_pylist(), dtype=pd.ArrowDtype(values.type))


@pytest.mark.parametrize(
    ("name", "given", "expected", "wrong"),
    [
        ("amount", _objects(Decimal("1.5"), None, Decimal("NaN")), [1.5, None, None], []),
        ("amount", _objects(Decimal("1e400"), Decimal("sNaN"), 2), [None, None, 2.0], [0]),
        ("amount", _arrow(pa.array([Decimal("1.5"), None, Decimal("2.25")])), [1.5, None, 2.25], []),
        ("amount", pd.Categorical([1.5, None, 2.5]), [1.5, None, 2.5], []),
        ("amount", pd.Categorical(["1.5", None, "2.5"]), [None, None, None], [0, 2]),
        ("amount", pd.arrays.SparseArray([1.5, np.nan, 2.5]), [1.5, None, 2.5], []),
        ("amount", pd.IntervalIndex.from_breaks([0, 1, 2, 3]), [None] * 3, [0, 1, 2]),
        ("count", pd.Categorical([7, None, 8]), [7.0, None, 8.0], []),
        ("count", _arrow(pa.array([7, None, 8]).dictionary_encode()), [7.0, None, 8.0], []),
        ("is_new", pd.Categorical([True, None, False]), [1.0, None, 0.0], []),
        ("code", pd.Categorical(["A", 7, None]), ["A", "", ""], [1]),
        ("code", _arrow(pa.array(["A", None, "B"]).dictionary_encode()), ["A", "", "B"], []),
        ("code", _arrow(pa.array(["A", None, "B"], pa.string_view())), ["A", "", "B"], []),
        ("code", _objects(b"A", np.str_("B"), "\0"), ["", "B", "\0"], [0]),
        ("at", pd.Categorical([_NOON, None, _NOON]), [_AT, None, _AT], []),
        ("at", _objects(_NOON, pd.Timestamp(_NOON).tz_convert("Asia/Tokyo"), None), [_AT, _AT, None], []),
        ("at", _objects(_NOON.astimezone(ZoneInfo("America/New_York")), pd.NaT, pd.NA), [_AT, None, None], []),
        ("at", _objects(_NOON, _NOON.replace(tzinfo=None), np.datetime64("2013-01-01")), [_AT, None, None], [1, 2]),
        ("at", _objects(_NOON, date(2013, 1, 1), "2013-01-01T12:00Z"), [_AT, None, None], [1, 2]),
        ("at", _objects(_NOON, datetime(9999, 1, 1, tzinfo=UTC), pd.Timestamp(_NOON).as_unit("ns")), [_AT, 0, _AT], []),
        (
            "at",
            _objects(_NOON, datetime(9999, 12, 31, 23, tzinfo=ZoneInfo("America/New_York")), None),
            [_AT, 1, None],
            [],
        ),
        ("at", pd.period_range("2013-01-01", periods=3), [None] * 3, [0, 1, 2]),
    ],
)
def test_values_are_read_or_reported_one_by_one(name: str, given: Any, expected: list[Any], wrong: list[int]) -> None:
    found, rows = _read(name, given)
    for value, wanted in zip(found, expected, strict=True):
        if wanted is None:
            assert pd.isna(value)
        elif name == "at" and wanted in (0, 1):
            assert value == (datetime(9999, 1, 1) if wanted == 0 else 253_402_315_200_000_000)  # noqa: DTZ001 - in UTC
        else:
            assert value == (wanted.astype(datetime) if isinstance(wanted, np.datetime64) else wanted)
    assert rows == wrong
