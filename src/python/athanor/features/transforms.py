"""Transforms that projects share. Arrays in, arrays out; missing in, missing out."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

_QUARTER_HOUR_S = 900


def to_local_time(instants: NDArray[Any], zone: str) -> NDArray[Any]:
    """Instants as the clocks of a time zone show them.

    Args:
        instants: datetime64[us] in UTC.
        zone: IANA name, "America/New_York".

    Returns:
        datetime64[us] without a zone; NaT stays NaT.
    """
    # No zone changes its clocks within a quarter of an hour, and few of those are distinct.
    quarters, inverse = np.unique(instants.astype("M8[s]").astype(np.int64) // _QUARTER_HOUR_S, return_inverse=True)
    offsets = np.array([_offset_s(zone, int(quarter)) for quarter in quarters], dtype="m8[s]")
    return np.asarray(instants + offsets[inverse])


@lru_cache(maxsize=65_536)
def _offset_s(zone: str, quarter: int) -> int:
    """Seconds to add to UTC; 0 outside the years that the calendar knows, as for NaT, whose sum stays NaT."""
    try:
        offset = datetime.fromtimestamp(quarter * _QUARTER_HOUR_S, UTC).astimezone(ZoneInfo(zone)).utcoffset()
    except (OverflowError, ValueError):
        return 0
    return int(offset.total_seconds()) if offset else 0


def cyclic(values: NDArray[Any], period: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sine and cosine of a value on a circle, so that its end lies next to its beginning: minutes of a day, degrees."""
    angle = np.asarray(values, dtype=np.float64) * (2 * np.pi / period)
    return np.sin(angle), np.cos(angle)
