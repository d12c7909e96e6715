"""Transforms that projects share, against the standard library."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from athanor.features.transforms import cyclic, to_local_time

_ZONES = ("America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC")


@PROPERTY
@given(
    st.lists(st.datetimes(datetime(1975, 1, 1), datetime(2060, 1, 1)), min_size=1, max_size=20),  # noqa: DTZ001
    st.sampled_from(_ZONES),
)
def test_local_time_is_what_the_clocks_there_show(instants: list[datetime], zone: str) -> None:
    found = to_local_time(np.array(instants, dtype="M8[us]"), zone)
    expected = [at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) for at in instants]
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("instant", "local"),
    [
        ("2013-03-10T06:59:59.999999", "2013-03-10T01:59:59.999999"),
        ("2013-03-10T07:00:00.000000", "2013-03-10T03:00:00.000000"),
        ("2013-11-03T05:59:59.999999", "2013-11-03T01:59:59.999999"),
        ("2013-11-03T06:00:00.000000", "2013-11-03T01:00:00.000000"),
    ],
)
def test_clocks_change_to_the_microsecond(instant: str, local: str) -> None:
    found = to_local_time(np.array([instant], dtype="M8[us]"), "America/New_York")
    assert found.astype(str).tolist() == [local]


def test_missing_instants_stay_missing_and_none_stay_none() -> None:
    found = to_local_time(np.array(["NaT", "2013-01-01T12:00:00"], dtype="M8[us]"), "America/New_York")
    assert np.isnat(found).tolist() == [True, False]
    assert to_local_time(np.array([], dtype="M8[us]"), "America/New_York").shape == (0,)


def test_the_ends_of_the_calendar_do_not_overflow() -> None:
    ends = np.array(["0001-01-01T00:00:00", "9999-12-31T23:59:59"], dtype="M8[us]")
    assert not np.isnat(to_local_time(ends, "America/New_York")).any()


@PROPERTY
@given(st.floats(-1e4, 1e4), st.floats(1, 1e4))
def test_cyclic_is_the_angle_on_the_circle(value: float, period: float) -> None:
    (sine,), (cosine,) = cyclic(np.array([value]), period)
    assert math.hypot(sine, cosine) == pytest.approx(1)
    turns = (math.atan2(sine, cosine) / (2 * math.pi) - value / period) % 1
    assert min(turns, 1 - turns) == pytest.approx(0, abs=1e-9)


def test_the_end_of_a_period_lies_at_its_beginning() -> None:
    sine, cosine = cyclic(np.array([0.0, 1440.0]), 1440)
    np.testing.assert_allclose((sine[0], cosine[0]), (sine[1], cosine[1]), atol=1e-12)


def test_cyclic_leaves_missing_values_missing() -> None:
    assert np.isnan(cyclic(np.array([np.nan]), 360)).all()
