"""Eager and traced features are equal: every helper, and the features of the example."""

import inspect
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.flights import make_columns as make_flights
from support.graphs import FeatureGraph, make_columns
from support.properties import SLOW_PROPERTY

from athanor.contract.columns import Columns
from athanor.features import numbers, texts, times
from athanor.features.arrays import Arrays, xp
from athanor.features.features import Features
from projects.delays.model import MODEL

_LARGEST: Final = np.iinfo(np.int64).max
_NUMBERS: Final = (np.nan, -0.0, 0.0, np.inf, -np.inf, 1e300, -5e-324, 360.0, 2.5, -1.0)
_INSTANTS: Final = (-_LARGEST - 1, -_LARGEST, _LARGEST, -1, 0, -62_135_596_800 * 10**6, 253_402_300_799_999_999)
_TEXTS: Final = ("", " ", "  ÄB  c ", "\t", "JFK", "straße", "日本 語", "İ", "e\u0301", "👩\u200d✈️", "a\u00a0b", "%s")


def _compute(columns: Arrays) -> Arrays:
    """Every helper, on columns of every kind."""
    x, y, t, u, s, r = (columns[name] for name in ("x", "y", "t", "u", "s", "r"))
    local = times.to_local_time(t, "America/New_York")
    sine, cosine = numbers.cyclic(x, 360)
    return {
        **{part.__name__: part(local) for part in _PARTS},
        "hour_there": times.hour_of_day(times.to_local_time(t, "Australia/Lord_Howe")),
        "hour_in_utc": times.hour_of_day(times.to_local_time(t, "UTC")),
        "time_between": times.time_between(t, u, "min"),
        "sine": sine,
        "cosine": cosine,
        "ratio": numbers.ratio(x, y),
        "clip": numbers.clip(x, -1, 2.5),
        "bins": numbers.bins(x, [-1, 0, 2.5]),
        **{f"{name}_is_missing": numbers.is_missing(columns[name]) for name in ("x", "t", "s")},
        "of_text": texts.look_up(s, {"JFK": 1.0, "straße": 2.0}, default=-1.0),
        "of_number": texts.look_up(x, {0: 1.5, 360: 2.5}),
        "text_of_number": texts.look_up(x, {0.0: "zero"}, default="more"),
        "text_of_text": texts.look_up(s, {"JFK": "New York"}),
        "join": texts.join(s, r, separator="-"),
        "normalize": texts.normalize(s),
        "choice": xp.where(x > y, s, r),
        "x": x,
        "s": s,
    }


_PARTS: Final = (
    times.hour_of_day,
    times.weekday,
    times.day_of_month,
    times.day_of_year,
    times.month,
    times.year,
)
_CATEGORICAL: Final = ("text_of_number", "text_of_text", "join", "normalize", "choice", "s")
_NUMERIC: Final = (
    *(part.__name__ for part in _PARTS),
    *("hour_there", "hour_in_utc", "time_between", "sine", "cosine", "ratio", "clip", "bins", "x"),
    *("x_is_missing", "t_is_missing", "s_is_missing", "of_text", "of_number"),
)
FEATURES: Final = Features(_NUMERIC, _CATEGORICAL, _compute)

_numbers = st.sampled_from(_NUMBERS) | st.floats()
_instants = st.sampled_from(_INSTANTS) | st.integers(-(2**62), 2**62) | st.integers(-(2**52), 2**52)
# NumPy's texts of a fixed width, which are used eagerly, lose a zero at the end.
_texts = st.sampled_from(_TEXTS) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_rows = st.lists(st.tuples(_numbers, _numbers, _instants, _instants, _texts, _texts), max_size=20)


@pytest.fixture(scope="module")
def graph() -> FeatureGraph:
    return FeatureGraph(FEATURES, make_columns())


def _to_columns(rows: list[Any]) -> Columns:
    x, y, t, u, s, r = zip(*rows, strict=True) if rows else [()] * 6
    return {
        **{name: np.array(values, dtype=np.float64) for name, values in (("x", x), ("y", y))},
        **{name: np.array(values, dtype=np.int64).view("M8[us]") for name, values in (("t", t), ("u", u))},
        **{name: np.array(values, dtype=object) for name, values in (("s", s), ("r", r))},
        "flag": np.full(len(rows), np.nan),
    }


def _assert_equal(traced: Mapping[str, NDArray[Any]], eager: Mapping[str, NDArray[Any]]) -> None:
    assert traced.keys() == eager.keys()
    for name, values in eager.items():
        np.testing.assert_array_equal(traced[name], values, err_msg=name)
        assert traced[name].dtype == values.dtype


# Eagerly an operation takes a millisecond, and there are hundreds.
@settings(SLOW_PROPERTY, max_examples=5)
@given(_rows)
@example([])
def test_every_helper_gives_the_same_traced_and_eager(graph: FeatureGraph, rows: list[Any]) -> None:
    columns = _to_columns(rows)
    _assert_equal(graph(columns), FEATURES.eager(columns))


def test_every_helper_gives_the_same_for_a_thousand_odd_rows(graph: FeatureGraph) -> None:
    random = np.random.default_rng(0)
    kinds = (_NUMBERS, _NUMBERS, _INSTANTS, _INSTANTS, _TEXTS, _TEXTS)
    columns = _to_columns([tuple(kind[random.integers(len(kind))] for kind in kinds) for _ in range(1_000)])
    _assert_equal(graph(columns), FEATURES.eager(columns))


@pytest.mark.parametrize("count", [0, 1, 1_000])
def test_the_flights_are_the_same_traced_and_eager(count: int) -> None:
    columns = make_flights(count)
    _assert_equal(FeatureGraph(MODEL.features, MODEL.contract.columns)(columns), MODEL.features.eager(columns))


def test_every_public_helper_is_compared() -> None:
    helpers = {
        name
        for module in (numbers, texts, times)
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
    }
    code = inspect.getsource(_compute)
    assert {name for name in helpers if f".{name}(" not in code} == {part.__name__ for part in _PARTS} - {"hour_of_day"}
