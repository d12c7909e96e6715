"""A text without a declared type is read as a number or a time only as it came."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from athanor.contract.columns import Kind
from athanor.data.tables.untyped import UntypedText, is_untyped, read_untyped, to_untyped

_TEXTS = ["1", None, "2.5", "abc", " 3 "]


def _series(texts: list[str | None]) -> "pd.Series[Any]":
    return to_untyped(pa.chunked_array([texts]))


def test_it_is_text_to_pandas() -> None:
    series = _series(_TEXTS)
    assert series.dtype == "str"
    assert series.tolist()[2:] == ["2.5", "abc", " 3 "]
    assert (series == "abc").tolist() == [False, False, False, True, False]
    assert is_untyped(series)
    assert not is_untyped(pd.Series(["1"]))


@pytest.mark.parametrize(
    ("kind", "texts", "expected"),
    [
        (Kind.NUMBER, _TEXTS, [1.0, None, 2.5, "abc", 3.0]),
        (Kind.INTEGER, ["7", "1.5", "x"], [7.0, 1.5, "x"]),
        (Kind.BOOLEAN, ["true", "FALSE", "1", "yes"], [True, False, True, "yes"]),
        (
            Kind.TIMESTAMP,
            [
                "2013-01-01T10:00:00+01:00",
                "9999-12-31T00:00:00.000001Z",
                "2013-01-01T10:00:00.123456789Z",
                "2013-01-01",
            ],
            [
                pd.Timestamp("2013-01-01T09:00Z"),
                pd.Timestamp("9999-12-31T00:00:00.000001Z"),
                pd.Timestamp("2013-01-01T10:00:00.123456789Z"),
                "2013-01-01",
            ],
        ),
        (Kind.TEXT, _TEXTS, ["1", None, "2.5", "abc", " 3 "]),
    ],
)
def test_it_is_read_as_the_kind_that_is_wanted(kind: Kind, texts: list[str | None], expected: list[Any]) -> None:
    read = read_untyped(kind, _series(texts))
    assert read.astype(object).where(read.notna(), None).tolist() == expected


_MOVES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "rows chosen": lambda f: f.iloc[1:],
    "renamed": lambda f: f.rename(columns={"x": "z"}).rename(columns={"z": "x"}),
    "joined": lambda f: f.merge(pd.DataFrame({"key": [0, 2, 3]}), on="key", how="left"),
    "joined to": lambda f: pd.DataFrame({"key": [0, 2, 3]}).merge(f, on="key", how="left"),
    "sorted": lambda f: f.sort_values("x"),
    "stacked": lambda f: pd.concat([f, f]),
    "in a new frame": lambda f: pd.DataFrame({"x": f["x"]}),
    "objects": lambda f: f.astype(object),
}


@pytest.mark.parametrize("move", _MOVES)
def test_it_stays_untyped_where_it_is_only_moved(move: str) -> None:
    moved = _MOVES[move](pd.DataFrame({"x": _series(_TEXTS), "key": range(5)}))["x"]
    assert {type(value) for value in read_untyped(Kind.NUMBER, moved).dropna()} <= {float, UntypedText}


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.fillna("") * 2,
        lambda x: x + x,
        lambda x: x.str.strip(),
        lambda x: x.str[:1],
        lambda x: x.replace("1", "4").where(x == "1", np.nan),
    ],
)
def test_what_is_made_of_it_is_plain_text(change: Callable[[Any], Any]) -> None:
    """Twice "12" is "1212", which is no number of the file."""
    made = read_untyped(Kind.NUMBER, change(_series(["12", None, "1"])))
    assert {type(value) for value in made.dropna()} <= {str}
