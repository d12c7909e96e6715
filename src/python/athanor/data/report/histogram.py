"""Readable histogram bins, and the share of values in each."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from athanor.data.profiles.profile import NumberProfile

_BINS: Final = 40
_RARE: Final = 0.001
# Beyond it, sums and differences may overflow.
_LARGEST: Final = 1e300


def choose_edges(profiles: Sequence[NumberProfile], *, is_whole: bool) -> NDArray[np.float64] | None:
    """Ascending edges of equally wide bins for several profiles; None if the values are too large.

    If values lie on a lattice, as rounded values do, each bin covers equally many of its points, so that the position
    of the edges alone makes no bin fuller than its neighbour.

    Args:
        profiles: at least one, each with a value.
        is_whole: whether all values are integers.
    """
    lowest, highest = _range(profiles)
    if not max(abs(lowest), abs(highest)) < _LARGEST:
        return None
    if lowest == highest:
        half = max(0.5, float(np.spacing(abs(lowest))))
        return np.array([lowest - half, lowest + half])
    origin, step = (lowest, 1.0) if is_whole else _find_lattice(profiles)
    if not step:
        return np.linspace(lowest, highest, _BINS + 1)
    width = step * max(np.ceil((highest - lowest) / step / _BINS), 1)
    begin = origin - step / 2
    begin -= width * np.ceil((begin - lowest) / width)
    return np.asarray(begin + width * np.arange(np.ceil((highest - begin) / width) + 1), dtype=np.float64)


def _range(profiles: Sequence[NumberProfile]) -> tuple[float, float]:
    """Smallest and largest value, without far outliers, which would squeeze all others into one bar."""
    lowest, highest = min(p.knots[0] for p in profiles), max(p.knots[-1] for p in profiles)
    inner = np.array([profile.quantiles((0.005, 0.995)) for profile in profiles])
    low, high = inner[:, 0].min(), inner[:, 1].max()
    if max(abs(low), abs(high)) < _LARGEST:
        margin = (high - low) / 2
        # Divided first, because the difference may overflow.
        if margin and highest / 8 - lowest / 8 > margin:
            lowest, highest = max(lowest, low - margin), min(highest, high + margin)
    return float(lowest), float(highest)


def _find_lattice(profiles: Sequence[NumberProfile]) -> tuple[float, float]:
    """A lattice point and the distance to the next, 0 if there is no lattice. Tolerates a few stray values."""
    usual = [_usual_values(profile) for profile in profiles]
    points = np.unique(np.concatenate(usual))
    steps = np.diff(points)
    if any(not len(values) for values in usual) or not 0 < len(steps) <= 10 * _BINS or steps.min() < steps.max() / 1e6:
        return 0.0, 0.0
    multiples = steps / steps.min()
    is_lattice = np.allclose(multiples, np.round(multiples), atol=0.02)
    return float(points[0]), float(steps.min()) if is_lattice else 0.0


def _usual_values(profile: NumberProfile) -> NDArray[np.float64]:
    """Values that are not rare; empty if they cover less than 99 % of the values."""
    counts = np.diff(profile.at_most, prepend=0)
    is_usual = counts >= _RARE * profile.present
    is_most = profile.is_exact and counts[is_usual].sum() >= 0.99 * profile.present
    return profile.knots[is_usual] if is_most else np.empty(0)


def bin_shares(profile: NumberProfile, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of present values per bin; bins include their upper edge, the first also its lower. 0 without values."""
    counts = profile.count_at_most(edges)
    counts[0] = profile.count_at_most(np.nextafter(edges[0], -np.inf))
    return np.asarray(np.diff(counts) / max(profile.present, 1), dtype=np.float64)
