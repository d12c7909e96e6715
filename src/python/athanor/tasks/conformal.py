"""Conformal intervals and sets, from what was answered to rows that no fit saw.

Vovk, Gammerman, Shafer 2005, "Algorithmic Learning in a Random World": split-conformal prediction, Mondrian by groups
of rows. In each group the stated share of outcomes or more is covered, if later rows are exchangeable with these.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.errors import DataError
from athanor.release.answers import TOLERANCE
from athanor.release.manifest import Intervals, Sets

_MOST_BINS: Final = 10
_MISSES: Final = 20
"""Expected number of outcomes outside the interval in each bin: with fewer, chance sets the width."""


def find_intervals(y: NDArray[np.float64], values: NDArray[np.float64], coverage: float) -> Intervals:
    """Intervals by bins of the predicted value, so that they are wide where predictions are bad.

    Up to ten bins of equal counts, fewer for few rows. The ends come from the distances of outcomes and values, lower
    and upper each on its own: as many outcomes lie below the interval as above.

    Args:
        y: outcomes, shape (n,).
        values: predicted, shape (n,).
        coverage: in (0, 1).

    Raises:
        DataError: there are too few rows.
    """
    miss = (1 - coverage) / 2
    if len(y) < (fewest := math.ceil(1 / miss - 1 - 1e-9)):
        raise DataError(
            f"intervals that hold {coverage:g} of the outcomes need {fewest:,} rows or more in the validated parts of "
            f"the search's folds, which have {len(y):,}; use more rows, or a smaller coverage"
        )
    edges = _place_edges(values, max(1, min(_MOST_BINS, int(len(y) * 2 * miss / _MISSES))), fewest)
    bins = np.searchsorted(edges, values, side="right")
    distances = [np.sort((y - values)[bins == number]) for number in range(len(edges) + 1)]
    return Intervals(
        coverage=coverage,
        edges=tuple(edges.tolist()),
        # If most outcomes lie to one side of the values, the interval still holds its value.
        lower=tuple(min(0.0, -_conformal_quantile(-each[::-1], 1 - miss)) for each in distances),
        upper=tuple(max(0.0, _conformal_quantile(each, 1 - miss)) for each in distances),
    )


def apply_intervals(
    intervals: Intervals, values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper ends around values, shape (n,) each."""
    bins = np.searchsorted(np.array(intervals.edges), values, side="right")
    return values + np.array(intervals.lower)[bins], values + np.array(intervals.upper)[bins]


def find_sets(
    y: NDArray[np.int64], probabilities: NDArray[np.float64], categories: Sequence[str], coverage: float
) -> Sets:
    """Sets of categories, by thresholds of each category (label-conditional): rare ones are covered as often.

    A category with too few rows is in every set: nothing is known of it.

    Args:
        y: positions in `categories`, shape (n,).
        probabilities: shape (n, number of categories).
        coverage: in (0, 1).
    """
    thresholds = {}
    for position, category in enumerate(categories):
        own = np.sort(-probabilities[y == position, position])
        # Trees give many rows the same probability, which a graph's single precision must not put below it.
        thresholds[category] = max(0.0, -_conformal_quantile(own, coverage) - TOLERANCE)
    return Sets(coverage=coverage, thresholds=thresholds)


def apply_sets(sets: Sets, probabilities: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Whether each category is in the set, 1 or 0, shape (n,), from its probability, shape (n,)."""
    return {name: (values >= sets.thresholds[name]).astype(np.float64) for name, values in probabilities.items()}


def _conformal_quantile(ascending: NDArray[np.float64], share: float) -> float:
    """The smallest value that a further one exceeds with a probability of at most 1 - share; inf if there is none."""
    # Rounding must not turn the 18th of 19 rows into the 19th.
    rank = math.ceil((len(ascending) + 1) * share - 1e-9)
    return float(ascending[rank - 1]) if rank <= len(ascending) else math.inf


def _place_edges(values: NDArray[np.float64], count: int, fewest: int) -> NDArray[Any]:
    """Edges of up to `count` bins of equal counts, each with `fewest` values or more.

    An edge lies halfway between two values: one that rounds to either side of a value would jump with it.
    """
    ascending = np.sort(values)
    edges: list[float] = []
    begin = 0
    for number in range(1, count):
        at = len(ascending) * number // count
        # Equal values share a bin.
        at = int(np.searchsorted(ascending, ascending[at]))
        if at - begin >= fewest and len(ascending) - at >= fewest:
            edges.append(float((ascending[at - 1] + ascending[at]) / 2))
            begin = at
    return np.array(edges)
