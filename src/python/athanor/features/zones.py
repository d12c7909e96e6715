"""The rules of time zones as tables: when the clocks of a zone were changed, and to what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import numpy as np

from athanor.errors import ContractError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime(1800, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2100, 1, 1, tzinfo=UTC)
_STEP: Final = timedelta(days=1)


@lru_cache(maxsize=64)
def read_offsets(zone: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The changes of a zone's clocks from 1800 to 2100.

    Args:
        zone: IANA name, "America/New_York".

    Returns:
        When they were or will be changed, in seconds since 1970, and the offsets from UTC in seconds: one more than
        changes, the first before all of them.

    Raises:
        ContractError: there is no such zone.
    """
    rules = _read_rules(zone)
    changes: list[float] = []
    offsets = [_offset(_FIRST, rules)]
    for step in range((_LAST - _FIRST) // _STEP):
        before, after = _FIRST + step * _STEP, _FIRST + (step + 1) * _STEP
        if _offset(after, rules) != offsets[-1]:
            changes.append(_find_change(before, after, rules))
            offsets.append(_offset(after, rules))
    return np.array(changes), np.array(offsets)


def _read_rules(zone: str) -> ZoneInfo:
    """From the package `tzdata`, which the lock pins: those of the host would make another graph on another host."""
    try:
        with files("tzdata").joinpath("zoneinfo", *zone.split("/")).open("rb") as file:
            return ZoneInfo.from_file(file, key=zone)
    except (OSError, ValueError):
        raise ContractError(
            f"the time zone {zone!r} is unknown; give the name of a zone in IANA's database, such as 'America/New_York'"
        ) from None


def _offset(at: datetime, rules: ZoneInfo) -> float:
    return (at.astimezone(rules).utcoffset() or timedelta()).total_seconds()


def _find_change(before: datetime, after: datetime, rules: ZoneInfo) -> float:
    """The second between two instants at which the offset changes."""
    offset = _offset(after, rules)
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // timedelta(seconds=2) * timedelta(seconds=1)
        before, after = (before, middle) if _offset(middle, rules) == offset else (middle, after)
    return (after - _EPOCH).total_seconds()
