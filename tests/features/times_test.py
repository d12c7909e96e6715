"""Clocks and calendars, against the standard library."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.properties import SLOW_PROPERTY

from athanor.errors import ContractError
from athanor.features import times
from athanor.features.arrays import xp
from athanor.features.times import time_between, to_local_time
from athanor.features.zones import read_offsets

_ZONES: Final = ("America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo", "Etc/GMT+5", "UTC")
_INSTANTS: Final = st.lists(st.datetimes(datetime(1800, 1, 1), datetime(2099, 12, 31)), min_size=1)  # noqa: DTZ001
_PARTS: Final[dict[str, Callable[[datetime], float]]] = {
    "hour_of_day": lambda at: at.hour + at.minute / 60 + (at.second + at.microsecond / 1e6) / 3600,
    "weekday": datetime.weekday,
    "day_of_month": lambda at: at.day,
    "day_of_year": lambda at: at.timetuple().tm_yday,
    "month": lambda at: at.month,
    "year": lambda at: at.year,
}


def _array(values: Any) -> Any:
    return xp.asarray(np.array(values, dtype="M8[us]"))


def _values(array: Any) -> NDArray[Any]:
    return np.asarray(array.unwrap_numpy())


@settings(SLOW_PROPERTY)
@given(_INSTANTS, st.sampled_from(_ZONES))
def test_local_time_is_what_the_clocks_there_show(instants: list[datetime], zone: str) -> None:
    found = _values(to_local_time(_array(instants), zone))
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
    assert _values(to_local_time(_array([instant]), "America/New_York")).astype(str).tolist() == [local]


def test_every_change_of_a_zone_is_in_its_table() -> None:
    zone, at = ZoneInfo("America/New_York"), datetime(1880, 1, 1, tzinfo=UTC)
    changes, offsets = read_offsets("America/New_York")
    while at.year < 2100:
        position = np.searchsorted(changes, at.timestamp(), side="right")
        assert timedelta(seconds=float(offsets[position])) == at.astimezone(zone).utcoffset(), at
        at += timedelta(hours=7)


def test_the_offset_of_2100_holds_later_and_instants_beyond_the_calendar_have_none() -> None:
    found = _values(to_local_time(_array(["2150-07-01T12:00:00", "NaT"]), "America/New_York"))
    assert found.astype(str).tolist() == ["2150-07-01T07:00:00.000000", "NaT"]


@pytest.mark.parametrize("zone", ["New York", "", "../UTC", "America"])
def test_a_zone_that_is_unknown_is_refused(zone: str) -> None:
    with pytest.raises(ContractError, match="is unknown; give the name of a zone in IANA's database"):
        read_offsets(zone)


@settings(SLOW_PROPERTY, max_examples=5)
@given(st.lists(st.datetimes(), min_size=1))
def test_parts_are_those_of_the_calendar(instants: list[datetime]) -> None:
    array = _array(instants)
    for name, part in _PARTS.items():
        np.testing.assert_allclose(_values(getattr(times, name)(array)), [part(at) for at in instants], rtol=1e-15)


def test_parts_are_right_on_every_day_from_year_1_to_9999() -> None:
    days = np.arange("0001-01-01", "9999-12-31", 97, dtype="M8[D]")
    years, months = days.astype("M8[Y]"), days.astype("M8[M]")
    expected = {
        "weekday": (days.astype(int) + 3) % 7,
        "day_of_month": (days - months).astype(int) + 1,
        "day_of_year": (days - years).astype(int) + 1,
        "month": months.astype(int) % 12 + 1,
        "year": years.astype(int) + 1970,
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(_values(getattr(times, name)(_array(days))), values, err_msg=name)


@pytest.mark.parametrize("name", _PARTS)
def test_a_part_of_what_is_missing_is_missing(name: str) -> None:
    found = _values(getattr(times, name)(_array(["NaT", "2013-01-01"])))
    assert np.isnan(found).tolist() == [True, False]
    assert found.dtype == np.float64


@pytest.mark.parametrize(("unit", "expected"), [("s", 90_000.25), ("min", 1500.004), ("h", 25.0), ("d", 1.0417)])
def test_time_between_is_in_the_unit_asked_for(unit: Any, expected: float) -> None:
    start, end = _array(["2013-01-01", "2013-01-02", "NaT"]), _array(["2013-01-02T01:00:00.25", "NaT", "2013-01-02"])
    found = _values(time_between(start, end, unit))
    assert found[0] == pytest.approx(expected, rel=1e-4)
    assert np.isnan(found[1:]).all()
    assert _values(time_between(end, start, unit))[0] == -found[0]
