"""Answers of a release: the columns of the contract's prediction message, compared and kept within their ranges."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind, Role
from athanor.contract.plans import once
from athanor.contract.validation import Breach, validate

TOLERANCE: Final = 1e-6
"""Largest allowed difference between two equal probabilities; of numbers, in units of their scale."""

_ENDS: Final = frozenset({Role.LOWER, Role.UPPER})
_FEW_ROWS: Final = 8


def find_invalid(answer: Sequence[Column], answers: Columns) -> tuple[Breach, ...]:
    """The answers that break the contract: missing, infinite, out of range, or no category of the label.

    Args:
        answer: the contract's columns.
    """
    return validate(answer, answers)


def settle(answer: Sequence[Column], answers: Columns, tolerance: float = TOLERANCE) -> Columns:
    """Moves back what rounding moved out of a column's range: a forest's float32 sum may exceed 1 by 1e-7.

    Leaves what lies farther outside. Gives the same arrays where all values are within their ranges.
    """
    settled: dict[str, NDArray[Any]] = {}
    for name, lowest, highest in _ranges(answer):
        if not _are_within(answers[name], lowest, highest):
            settled[name] = _clip(answers[name], lowest, highest, tolerance)
    return {**answers, **settled} if settled else answers


@once
def _ranges(answer: Sequence[Column]) -> tuple[tuple[str, float, float], ...]:
    """Name and range of each number."""
    return tuple((column.name, column.minimum, column.maximum) for column in answer if column.kind is Kind.NUMBER)


def measure_difference(
    answer: Sequence[Column], ours: Columns, theirs: Columns, edges: Sequence[float] = ()
) -> NDArray[np.float64]:
    """The largest difference of each row between two answers, over the columns that both have.

    Numbers differ by their distance. Another category differs by 1, unless the two most likely ones are so close that
    the distance of their probabilities explains it. Sets follow from probabilities, and are not compared.

    Args:
        edges: between the bins of the intervals, if there are any. The ends of an interval jump there, and are not
            compared in a row whose number lies to both sides of an edge.

    Returns:
        float64 of shape (n,); NaN where one of two numbers is.
    """
    both = [column for column in answer if column.name in ours and column.name in theirs]
    differences = [np.zeros(len(next(iter(ours.values()))))]
    for column in both:
        if column.kind is Kind.NUMBER:
            differs = np.abs(ours[column.name] - theirs[column.name])
            is_end = len(edges) > 0 and bool(column.roles & _ENDS)
            differences.append(np.where(_find_jumps(both, ours, theirs, edges), 0.0, differs) if is_end else differs)
    largest = np.max(differences, axis=0)
    for column in both:
        if column.kind is Kind.TEXT:
            is_other = (ours[column.name] != theirs[column.name]) & (_measure_lead(both, theirs) > 2 * largest)
            largest = np.where(is_other, 1.0, largest)
    return np.asarray(largest)


def _find_jumps(answer: Sequence[Column], ours: Columns, theirs: Columns, edges: Sequence[float]) -> NDArray[np.bool_]:
    """Whether the two numbers of each row lie in different bins."""
    name = next(column.name for column in answer if Role.PREDICTION in column.roles)
    bins = (np.searchsorted(np.array(edges), answers[name], side="right") for answers in (ours, theirs))
    return np.asarray(np.not_equal(*bins))


def _measure_lead(answer: Sequence[Column], answers: Columns) -> NDArray[np.float64]:
    """By how much the most likely category of each row exceeds the next; infinite without probabilities of two."""
    listed = [answers[column.name] for column in answer if Role.PROBABILITY in column.roles]
    if len(listed) < 2:
        return np.full(len(next(iter(answers.values()))), np.inf)
    ranked = np.sort(listed, axis=0)
    return np.asarray(ranked[-1] - ranked[-2])


def _are_within(values: NDArray[np.float64], lowest: float, highest: float) -> bool:
    """Whether none is below, above or NaN."""
    if len(values) <= _FEW_ROWS:
        # For one row a quarter of the time of a minimum and a maximum.
        for value in values.tolist():  # noqa: SIM110 - a generator takes as long again
            if not lowest <= value <= highest:
                return False
        return True
    return bool(values.min() >= lowest and values.max() <= highest)


def _clip(values: NDArray[np.float64], lowest: float, highest: float, tolerance: float) -> NDArray[np.float64]:
    clipped = np.clip(values, lowest, highest)
    is_rounding = np.abs(clipped - values) <= tolerance
    return np.where(is_rounding, clipped, values)
