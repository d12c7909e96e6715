"""Helpers for numbers, against NumPy."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.properties import SLOW_PROPERTY

from athanor.features.arrays import xp
from athanor.features.numbers import bins, clip, cyclic, is_missing, ratio

_ODD = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308, 2.0, -3.5)


def _array(*values: Any) -> Any:
    return xp.asarray(np.array(values, dtype=np.float64))


def _values(array: Any) -> NDArray[Any]:
    return np.asarray(array.unwrap_numpy())


@settings(SLOW_PROPERTY)
@given(st.floats(-1e4, 1e4), st.floats(1, 1e4))
def test_cyclic_is_the_angle_on_the_circle(value: float, period: float) -> None:
    angle = 2 * math.pi * math.fmod(value, period) / period
    found = [_values(array)[0] for array in cyclic(_array(value), period)]
    assert found == pytest.approx([math.sin(angle), math.cos(angle)], abs=1e-7)


@pytest.mark.parametrize("period", [24, 360, 1440, 0.1])
def test_cyclic_is_the_sine_of_numpy(period: float) -> None:
    """Also near its zeros, and where two angles have one sine: a tree may split between any two values."""
    random = np.random.default_rng(0).uniform(-1e5, 1e5, 1_000)
    values = np.concatenate([np.arange(361) / 360, np.arange(-24, 48) / 24, random]) * period
    angles = values * (2 * np.pi / period)
    for found, exact in zip(cyclic(xp.asarray(values), period), (np.sin(angles), np.cos(angles)), strict=True):
        np.testing.assert_array_equal(_values(found), exact.astype(np.float32))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 16, 31])
def test_cyclic_of_few_values_has_the_bits_of_many(count: int) -> None:
    values = np.random.default_rng(0).uniform(-720, 720, 1_000)
    for few, many in zip(cyclic(xp.asarray(values[:count]), 360), cyclic(xp.asarray(values), 360), strict=True):
        assert _values(few).tobytes() == _values(many)[:count].tobytes()


def test_the_end_of_a_period_lies_at_its_beginning() -> None:
    for values in map(_values, cyclic(_array(0.0, 1440.0, -1440.0), 1440)):
        assert values.tolist() == pytest.approx([values[0]] * 3, abs=3e-16)


def test_cyclic_is_missing_where_there_is_no_angle() -> None:
    assert np.isnan([_values(array) for array in cyclic(_array(np.nan, np.inf, -np.inf), 360)]).all()


def test_a_ratio_is_missing_where_the_divisor_is_zero() -> None:
    with np.errstate(all="ignore"):
        pairs = np.array([(one, other) for one in _ODD for other in _ODD])
        expected = np.where(pairs[:, 1] == 0, np.nan, pairs[:, 0] / pairs[:, 1])
    np.testing.assert_array_equal(_values(ratio(_array(*pairs[:, 0]), _array(*pairs[:, 1]))), expected)


def test_clip_moves_to_the_bounds_and_leaves_missing_values() -> None:
    np.testing.assert_array_equal(_values(clip(_array(*_ODD), -1, 2)), np.clip(np.array(_ODD), -1, 2))


@settings(SLOW_PROPERTY)
@given(st.lists(st.floats(allow_nan=False), min_size=1), st.sets(st.floats(-10, 10), min_size=1, max_size=40))
def test_bins_count_the_edges_up_to_a_value(values: list[float], edges: set[float]) -> None:
    found = _values(bins(_array(*values), sorted(edges)))
    np.testing.assert_array_equal(found, np.digitize(values, sorted(edges)))


def test_what_is_missing_has_no_bin() -> None:
    assert np.isnan(_values(bins(_array(np.nan), [1, 2]))).all()


def test_missing_is_nan_nat_and_the_empty_text() -> None:
    assert _values(is_missing(_array(*_ODD))).tolist() == [True, *[False] * 7]
    assert _values(is_missing(xp.asarray(np.array(["NaT", "2013"], "M8[us]")))).tolist() == [True, False]
    assert _values(is_missing(xp.asarray(np.array(["", " ", "a"])))).tolist() == [True, False, False]
    assert _values(is_missing(xp.asarray(np.array([True, False])))).tolist() == [False, False]


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.bool_])
def test_other_numbers_are_as_good(kind: Any) -> None:
    values = xp.asarray(np.array([1, 0], dtype=kind))
    assert _values(ratio(values, values))[0] == 1
    assert _values(clip(values, 0, 1)).tolist() == [1, 0]
    assert _values(bins(values, [1])).tolist() == [1, 0]
    assert _values(cyclic(values, 4)[0]).tolist() == [1, 0]
