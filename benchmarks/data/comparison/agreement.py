"""Whether contenders found the same. A time counts only for results that others confirm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

_RELATIVE = 1e-6
# The common reading of a population stability index: above it a column has shifted.
_SHIFTED = 0.25
# The deciles of one and the equal widths of another put a column that has moved a little on either side.
_NEAR_SHIFTED = (0.1, 0.5)


def differences(expected: Mapping[str, float], found: Mapping[str, float]) -> Iterator[str]:
    """Names that only one side has, and values that differ."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield f"{name} was not found, expected is {expected[name]:g}"
        elif name not in expected:
            yield f"{name} is {found[name]:g}, expected is nothing"
        elif not math.isclose(expected[name], found[name], rel_tol=_RELATIVE, abs_tol=1e-12):
            yield f"{name} is {found[name]:.12g}, expected is {expected[name]:.12g}"


def drift_differences(expected: Mapping[str, float], found: Mapping[str, float]) -> Iterator[str]:
    """Where two profiles with drift contradict each other, by our names and values.

    Means and Jensen-Shannon distances must be equal. Population stability depends on bins, which differ: deciles of the
    reference here, equal widths there. So both must say of a column that it has shifted, or both that it has not; where
    either value is near the limit they may differ. A Kullback-Leibler divergence is one half of a population stability
    index of small changes. Nothing that ours measures of the later rows may be left out.
    """
    for name, value in expected.items():
        column, _, statistic = name.partition(" ")
        if statistic == "psi":
            yield from _compare_stability(column, value, found)
        elif statistic == "mean of current" and name not in found:
            yield f"{name} was not found"
        elif name in found and not math.isclose(value, found[name], rel_tol=_RELATIVE):
            yield f"{name} is {found[name]:g}, ours is {value:g}"


def _compare_stability(column: str, ours: float, found: Mapping[str, float]) -> Iterator[str]:
    """By the measure that the other uses instead of a population stability index."""
    if f"{column} psi" in found:
        name, theirs = f"{column} psi", found[f"{column} psi"]
    elif f"{column} kl" in found:
        name, theirs = f"{column} kl", 2 * found[f"{column} kl"]
    else:
        if f"{column} jensenshannon" not in found:
            yield f"no drift of {column} was found"
        return
    is_near = any(_NEAR_SHIFTED[0] < value < _NEAR_SHIFTED[1] for value in (theirs, ours))
    if (theirs > _SHIFTED) != (ours > _SHIFTED) and not is_near:
        yield f"{name} is {found[name]:g}, our population stability index {ours:g}"
