"""Buckets for the values of an answer's column, and for differences between two of them, by the contract's range.

The totals of a histogram keep its scale, a short text, beside its labels: replicas agree on the buckets by it.
"""

from functools import lru_cache
from typing import Final

from athanor.contract.columns import Column, Kind

# A wider range has values of several orders of magnitude: a price, a duration.
_WIDEST: Final = 1_000.0
_PARTS: Final = 20
# One, two and five times each power of ten.
_LADDER: Final = tuple(float(f"{step}e{power}") for power in range(-2, 7) for step in (1, 2, 5))
_FINE: Final = (0.0001, 0.001, 0.005)
_EQUALITY: Final = "equality"


def is_number(column: Column) -> bool:
    return column.kind in (Kind.NUMBER, Kind.INTEGER)


def scale_of_values(column: Column) -> str:
    return f"{column.minimum:.15g} {column.maximum:.15g}"


def scale_of_differences(column: Column) -> str:
    """Numbers differ by their distance; another category or truth value differs by 1."""
    return f"{column.maximum - column.minimum:.15g}" if is_number(column) else _EQUALITY


@lru_cache
def bounds_of_values(scale: str) -> tuple[float, ...]:
    """Twentieths of a narrow range; otherwise 1, 2 and 5 times powers of ten, of both signs, as far as it reaches."""
    lowest, highest = map(float, scale.split())
    width = highest - lowest
    if width <= _WIDEST:
        bounds = [float(f"{lowest + width * part / _PARTS:.12g}") for part in range(1, _PARTS + 1)]
        return tuple(dict.fromkeys(bounds))
    both = (*(-bound for bound in reversed(_LADDER)), 0.0, *_LADDER)
    return tuple(bound for bound in both if lowest <= bound <= highest) or (lowest,)


@lru_cache
def bounds_of_differences(scale: str) -> tuple[float, ...]:
    if scale == _EQUALITY:
        return (0.0,)
    largest = max(float(scale), _FINE[0])
    return tuple(bound for bound in (*_FINE, *_LADDER) if bound <= largest)
