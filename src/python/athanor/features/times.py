"""Instants, clocks and calendars. Missing in, missing out: NaT gives NaT, or NaN where the result is a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from athanor.errors import ContractError
from athanor.features.arrays import op, xp
from athanor.features.kinds import require_instants
from athanor.features.steps import step
from athanor.features.zones import read_offsets

if TYPE_CHECKING:
    from ndonnx import Array
    from spox import Var

_SECOND_US: Final = 1_000_000
_DAY_US: Final = 86_400 * _SECOND_US
_NAT: Final = np.int64(np.iinfo(np.int64).min)
# Below all instants but NaT, as a double.
_AFTER_NAT: Final = -9.2e18
_UNITS_US: Final = {"s": _SECOND_US, "min": 60 * _SECOND_US, "h": 3600 * _SECOND_US, "d": _DAY_US}

# Days from 0000-03-01, with which a year of the calendar's arithmetic begins, to 1970-01-01.
_MARCH_OF_YEAR_0: Final = 719_468


def to_local_time(instants: Array, zone: str) -> Array:
    """Instants as the clocks of a time zone show them.

    The zone's changes from 1800 to 2100 become part of the graph. Later instants get the offset of 2100-01-01.

    Args:
        instants: datetime64[us] of shape (n,), in UTC.
        zone: IANA name, "America/New_York".

    Returns:
        datetime64[us] of shape (n,), without a zone. NaT stays NaT.

    Raises:
        ContractError: `instants` are no instants, or there is no such zone.

    >>> noon = xp.asarray(np.array(["NaT", "2013-07-01T12:00"], dtype="M8[us]"))
    >>> to_local_time(noon, "America/New_York").unwrap_numpy().astype(str).tolist()
    ['NaT', '2013-07-01T08:00:00.000000']
    """
    at = require_instants(instants)
    changes, offsets = read_offsets(zone)
    edges = np.concatenate([[_AFTER_NAT], changes * _SECOND_US])
    # NaT has no offset: it would overflow.
    offset = step(op.cast(at, to=np.float64), edges, np.concatenate([[0], offsets]))
    moved = op.add(at, op.mul(op.cast(offset, to=np.int64), op.const(np.int64(_SECOND_US))))
    return xp.asarray(moved).astype(xp.DateTime64DType("us"))


def hour_of_day(times: Array) -> Array:
    """Hours since midnight, with their fraction: 18.5 is half past six in the evening.

    Args:
        times: datetime64[us] of shape (n,).

    Returns:
        float64 of shape (n,), from 0 to below 24; NaN for NaT.

    Raises:
        ContractError: `times` are no instants.

    >>> hour_of_day(xp.asarray(np.array(["2013-07-01T18:30", "NaT"], dtype="M8[us]"))).unwrap_numpy().tolist()
    [18.5, nan]
    """
    at = require_instants(times)
    return xp.asarray(_nan_where_nat(at, _since_midnight(at))) / (3600 * _SECOND_US)


def weekday(times: Array) -> Array:
    """Days since Monday.

    Args:
        times: datetime64[us] of shape (n,).

    Returns:
        float64 of shape (n,): 0 for Monday to 6 for Sunday, NaN for NaT.

    Raises:
        ContractError: `times` are no instants.

    >>> weekday(xp.asarray(np.array(["2013-07-06", "NaT"], dtype="M8[us]"))).unwrap_numpy().tolist()
    [5.0, nan]
    """
    # 1970-01-01 was a Thursday. `fmod` takes the sign of the days, so they are counted from long before.
    days = xp.asarray(_days(times)) + (3 + 7 * 10**8)
    return xp.asarray(op.mod(days.unwrap_spox(), op.const(np.float64(7)), fmod=1))


def day_of_month(times: Array) -> Array:
    """Days of the month.

    Args:
        times: datetime64[us] of shape (n,).

    Returns:
        float64 of shape (n,), from 1 to 31; NaN for NaT.

    Raises:
        ContractError: `times` are no instants.

    >>> day_of_month(xp.asarray(np.array(["2024-02-29", "NaT"], dtype="M8[us]"))).unwrap_numpy().tolist()
    [29.0, nan]
    """
    _, day = _march_year_and_day(times)
    # Months from March have 31, 30, 31, 30 and 31 days, twice, and then January and what is left.
    return day - xp.floor((_march_month(day) * 153 + 2) / 5) + 1


def day_of_year(times: Array) -> Array:
    """Days of the year.

    Args:
        times: datetime64[us] of shape (n,).

    Returns:
        float64 of shape (n,), from 1 to 366; NaN for NaT.

    Raises:
        ContractError: `times` are no instants.

    >>> day_of_year(xp.asarray(np.array(["2024-12-31", "NaT"], dtype="M8[us]"))).unwrap_numpy().tolist()
    [366.0, nan]
    """
    before = year(times) - 1
    leap_days = xp.floor(before / 4) - xp.floor(before / 100) + xp.floor(before / 400)
    # Days from 0001-01-01 to 1970-01-01.
    return xp.asarray(_days(times)) + (719_162 + 1) - before * 365 - leap_days


def month(times: Array) -> Array:
    """Months of the year.

    Args:
        times: datetime64[us] of shape (n,).

    Returns:
        float64 of shape (n,), from 1 to 12; NaN for NaT.

    Raises:
        ContractError: `times` are no instants.

    >>> month(xp.asarray(np.array(["2024-02-29", "NaT"], dtype="M8[us]"))).unwrap_numpy().tolist()
    [2.0, nan]
    """
    _, day = _march_year_and_day(times)
    months = _march_month(day)
    return months + 3 - xp.floor(months / 10) * 12


def year(times: Array) -> Array:
    """Years of the Gregorian calendar.

    Args:
        times: datetime64[us] of shape (n,).

    Returns:
        float64 of shape (n,); NaN for NaT.

    Raises:
        ContractError: `times` are no instants.

    >>> year(xp.asarray(np.array(["2013-12-31T23:59:59.999999", "NaT"], dtype="M8[us]"))).unwrap_numpy().tolist()
    [2013.0, nan]
    """
    years, day = _march_year_and_day(times)
    # January begins on day 306 of a year that began in March.
    return years + xp.floor((day + 60) / 366)


def time_between(start: Array, end: Array, unit: Literal["s", "min", "h", "d"]) -> Array:
    """How long it is from one instant to another; negative if the end is earlier.

    Args:
        start, end: datetime64[us] of shape (n,).
        unit: seconds, minutes, hours or days of 24 hours.

    Returns:
        float64 of shape (n,); NaN where one of the instants is NaT.

    Raises:
        ContractError: one of them is no instant, or there is no such unit.

    >>> start = xp.asarray(np.array(["2013-07-01T12:00", "NaT"], dtype="M8[us]"))
    >>> end = xp.asarray(np.array(["2013-07-02", "2013-07-02"], dtype="M8[us]"))
    >>> time_between(start, end, "h").unwrap_numpy().tolist()
    [12.0, nan]
    """
    if unit not in _UNITS_US:
        raise ContractError(f"the unit {unit!r} is unknown; give {', '.join(map(repr, _UNITS_US))}")
    first, last = require_instants(start), require_instants(end)
    elapsed = _nan_where_nat(first, _nan_where_nat(last, op.sub(last, first)))
    return xp.asarray(elapsed) / _UNITS_US[unit]


def _since_midnight(at: Var) -> Var:
    return op.mod(at, op.const(np.int64(_DAY_US)))


def _nan_where_nat(at: Var, values: Var) -> Var:
    return op.where(op.equal(at, op.const(_NAT)), op.const(np.float64(np.nan)), op.cast(values, to=np.float64))


def _days(times: Array) -> Var:
    """float64 of shape (n,), whole days since 1970-01-01; NaN for NaT."""
    at = require_instants(times)
    # A division rounds towards zero, so nothing may be left to round.
    return _nan_where_nat(at, op.div(op.sub(at, _since_midnight(at)), op.const(np.int64(_DAY_US))))


def _march_year_and_day(times: Array) -> tuple[Array, Array]:
    """The year that begins in March, and the day in it from 0: leap days are then its last ones.

    A double divided by the mean length of a century or a year is exact enough to be rounded down: the test compares
    the years 1 to 9999.
    """
    days = xp.asarray(_days(times)) + _MARCH_OF_YEAR_0
    centuries = xp.floor((days + 0.75) / 36_524.25)
    # Leap days as in the Julian calendar.
    days = days + (centuries - xp.floor(centuries / 4))
    years = xp.floor((days + 0.75) / 365.25)
    return years, days - xp.floor(years * 365.25)


def _march_month(day: Array) -> Array:
    """Months since March of a day since the first of March."""
    return xp.floor((day * 5 + 2) / 153)
