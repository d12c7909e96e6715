"""Drift of a dataset from a reference: what changed, by how much, and whether chance explains it.

A statistic has drifted if its value exceeds the contract's budget, so that the change is large enough to matter, and if
it is significant, so that chance does not explain it. Without the first condition a large dataset drifts by irrelevant
changes; without the second a small one drifts all the time.

Each statistic is about one column alone. If one side has only missing values, distances and rates take their largest
value, 1, with the p-value of the change in the missing rate. If one side has no rows, the value is NaN and the column
counts as drifted, because nothing shows otherwise.
"""

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Column, Kind
from athanor.contract.contract import Contract
from athanor.data.profiles.distances import (
    Bins,
    adjust_p_values,
    homogeneity_p_value,
    jensen_shannon,
    kolmogorov_smirnov_p_value,
    population_stability,
    rate_change,
)
from athanor.data.profiles.profile import (
    BUCKETS,
    ColumnProfile,
    NumberProfile,
    Profile,
    TextProfile,
    TimeProfile,
    count_buckets,
)
from athanor.errors import DataError

_DECILES: Final = np.arange(1, 10) / 10
_LEAST_IN_BUCKET: Final = 32


class Statistic(enum.StrEnum):
    """What is compared. Values are stable, for machines.

    POPULATION_STABILITY: index of the binned distributions. Bins are the reference's deciles, or its categories and a
    bin for all others, plus a bin for missing values. Common reading: below 0.1 stable, above 0.25 shifted.

    KOLMOGOROV_SMIRNOV: largest difference between the distribution functions of present values, 0 to 1. A sketch of
    `k` knots changes it by less than `1 / (k - 1)`.

    JENSEN_SHANNON: distance, base 2, 0 to 1, between the shares of categories among present values.

    MISSING_RATE, TRUE_RATE: difference in the share of missing values, and in the share of true among present values.

    If a side has more categories than its profile lists, those that are not certain to be listed on both sides are
    counted in buckets by a hash of their text: as many buckets as have 32 rows of each side on average, so that chance
    alone keeps the index below 0.07. Profiles without buckets, of earlier versions, count them as one.
    """

    POPULATION_STABILITY = "population_stability"
    KOLMOGOROV_SMIRNOV = "kolmogorov_smirnov"
    JENSEN_SHANNON = "jensen_shannon"
    MISSING_RATE = "missing_rate"
    TRUE_RATE = "true_rate"


@dataclass(frozen=True)
class ColumnDrift:
    """One statistic of one column.

    Attributes:
        value: NaN if a side has no rows.
        budget: the contract's; larger values matter.
        p_value: probability of a difference at least this large under one common distribution; NaN if `value` is.
        adjusted_p_value: by Holm's procedure, over all statistics of the report.
        has_drifted: whether the value is above the budget and significant; true if `value` is NaN.
    """

    column: str
    statistic: Statistic
    value: float
    budget: float
    p_value: float
    adjusted_p_value: float
    has_drifted: bool


@dataclass(frozen=True)
class DriftReport:
    """All statistics for which the contract has a budget.

    Attributes:
        rows: of the dataset.
        reference_rows: of the reference.
        significance: largest significant adjusted p-value, the contract's `drift_significance`.
        columns: drifted statistics first, then by value over budget, descending.
    """

    rows: int
    reference_rows: int
    significance: float
    columns: tuple[ColumnDrift, ...]

    @property
    def has_drifted(self) -> bool:
        return any(drift.has_drifted for drift in self.columns)


def measure_drift(contract: Contract, reference: Profile, current: Profile) -> DriftReport:
    """Compares two profiles by every statistic for which the contract has a budget.

    The probability of any false alarm, over all statistics together, is at most the contract's `drift_significance`.

    Args:
        reference: profile of all dataset columns of the contract.
        current: likewise. Outcome columns may be absent, as they are for rows just served, and are then skipped.

    Raises:
        DataError: a profile lacks a column, or has it as another kind.
    """
    tests = [
        (column.name, statistic, budget, *_measure(statistic, *sides))
        for column, sides in _pair(contract, reference, current)
        for statistic, budget in _budgets(column)
    ]
    adjusted = adjust_p_values(np.array([p_value for *_, p_value in tests], dtype=np.float64)).tolist()
    significance = contract.rules.drift_significance
    found = [
        # For NaN both comparisons are false.
        ColumnDrift(column, statistic, value, budget, p_value, by_holm, not (value <= budget or by_holm > significance))
        for (column, statistic, budget, value, p_value), by_holm in zip(tests, adjusted, strict=True)
    ]
    return DriftReport(current.rows, reference.rows, significance, tuple(sorted(found, key=_rank)))


def _rank(drift: ColumnDrift) -> tuple[bool, float]:
    if math.isnan(drift.value):
        return False, -math.inf
    beyond = math.inf if drift.value else 0.0
    return not drift.has_drifted, -(drift.value / drift.budget if drift.budget else beyond)


def _pair(
    contract: Contract, reference: Profile, current: Profile
) -> Iterator[tuple[Column, tuple[ColumnProfile, ColumnProfile]]]:
    for column in contract.dataset_columns:
        if column.name in current.columns or column not in contract.outcome_columns:
            yield column, (_find(column, reference, "the reference"), _find(column, current, "the dataset"))


def _find(column: Column, profile: Profile, owner: str) -> ColumnProfile:
    kinds: dict[Kind, type[ColumnProfile]] = {Kind.TEXT: TextProfile, Kind.TIMESTAMP: TimeProfile}
    expected = kinds.get(column.kind, NumberProfile)
    found = profile.columns.get(column.name)
    if found is None:
        raise DataError(f"the profile of {owner} has no column {column.name}; build it again under this contract")
    if not isinstance(found, expected):
        raise DataError(
            f"the profile of {owner} has {column.name} as {type(found).__name__}; "
            f"the contract says {column.kind.value}; build it again under this contract"
        )
    return found


def _budgets(column: Column) -> Iterator[tuple[Statistic, float]]:
    distance = Statistic.JENSEN_SHANNON if column.kind is Kind.TEXT else Statistic.KOLMOGOROV_SMIRNOV
    budgets = {
        Statistic.POPULATION_STABILITY: column.drift_budget,
        distance: column.distance_budget,
        Statistic.MISSING_RATE: column.missing_drift_budget,
        Statistic.TRUE_RATE: column.rate_drift_budget,
    }
    return ((statistic, budget) for statistic, budget in budgets.items() if budget is not None)


def _measure(statistic: Statistic, reference: ColumnProfile, current: ColumnProfile) -> tuple[float, float]:
    """Value and p-value."""
    if not reference.rows or not current.rows:
        return math.nan, math.nan
    missing = np.array([[reference.missing, reference.present], [current.missing, current.present]])
    if statistic is Statistic.MISSING_RATE:
        return rate_change(missing), homogeneity_p_value(missing)
    if statistic is Statistic.POPULATION_STABILITY:
        bins, bins_of_both = (np.column_stack([bins, missing[:, 0]]) for bins in _count(reference, current))
        return population_stability(bins), homogeneity_p_value(bins_of_both)
    if not reference.present or not current.present:
        return float(reference.present != current.present), homogeneity_p_value(missing)
    return _compare_present(statistic, reference, current)


def _compare_present(statistic: Statistic, reference: ColumnProfile, current: ColumnProfile) -> tuple[float, float]:
    if not isinstance(reference, NumberProfile) or not isinstance(current, NumberProfile):
        bins, bins_of_both = _count(reference, current)
        return jensen_shannon(bins), homogeneity_p_value(bins_of_both)
    if statistic is Statistic.TRUE_RATE:
        bins = _count_numbers(reference, current, np.zeros(1))
        return rate_change(bins), homogeneity_p_value(bins)
    largest = _largest_difference(reference, current)
    return largest, kolmogorov_smirnov_p_value(largest, reference.present, current.present)


def _largest_difference(reference: NumberProfile, current: NumberProfile) -> float:
    """Checks the knots only: both functions are constant between them."""
    points = np.union1d(reference.knots, current.knots)
    shares = [side.count_at_most(points) / side.present for side in (reference, current)]
    return float(np.max(np.abs(shares[0] - shares[1])))


def _count(reference: ColumnProfile, current: ColumnProfile) -> tuple[Bins, Bins]:
    """Present values in the reference's bins, for the statistic, and in bins of both sides pooled, for the p-value.

    The reference fits bins chosen from it better than other rows of the same distribution do, which would bias the
    p-value.
    """
    match reference, current:
        case NumberProfile(), NumberProfile():
            points = np.union1d(reference.knots, current.knots)
            pooled = reference.count_at_most(points) + current.count_at_most(points)
            edges = _edges(reference.knots, reference.at_most), _edges(points, pooled)
            return _count_numbers(reference, current, edges[0]), _count_numbers(reference, current, edges[1])
        case TextProfile(), TextProfile():
            bins = _count_texts(reference, current)
            has_some = bins[0] > 0
            return np.column_stack([bins[:, has_some], bins[:, ~has_some].sum(axis=1)]), bins
    raise TypeError(f"{type(reference).__name__} has no bins")


def _edges(knots: NDArray[np.float64], at_most: NDArray[np.int64]) -> NDArray[np.float64]:
    """Deciles as upper ends of bins. A value that spans several deciles gets its own bin."""
    if not len(knots):
        return knots
    deciles, times = np.unique(knots[np.searchsorted(at_most / at_most[-1], _DECILES)], return_counts=True)
    return np.union1d(deciles, np.nextafter(deciles[times > 1], -np.inf))


def _count_numbers(reference: NumberProfile, current: NumberProfile, edges: NDArray[np.float64]) -> Bins:
    sides = reference, current
    return np.array([np.diff(side.count_at_most(edges), prepend=0, append=side.present) for side in sides])


def _count_texts(reference: TextProfile, current: TextProfile) -> Bins:
    """One bin per category frequent enough to be listed on both sides, and buckets of all others."""
    sides = reference, current
    # Sorted, so that the order does not depend on which side a category is more frequent.
    names = sorted({*reference.categories, *current.categories})
    counts = np.zeros((2, len(names)), dtype=np.int64)
    position = {name: index for index, name in enumerate(names)}
    for row, side in enumerate(sides):
        counts[row, [position[name] for name in side.categories]] = side.counts
    present = np.array([side.present for side in sides])
    expected = np.outer(present / max(present.sum(), 1), counts.sum(axis=0))
    has_own = np.all(expected >= [[_least_expected(side)] for side in sides], axis=0)
    own = counts[:, has_own]
    return np.column_stack([own, _count_others(sides, [names[i] for i in np.flatnonzero(has_own)], own)])


def _count_others(sides: tuple[TextProfile, TextProfile], names: Sequence[str], own: Bins) -> Bins:
    """The values of no bin of their own in buckets, as many as chance allows for."""
    others = np.array([side.present for side in sides]) - own.sum(axis=1)
    buckets = [found for side in sides if (found := side.count_buckets()) is not None]
    count = int(others.min()) // _LEAST_IN_BUCKET
    if count < 2 or len(buckets) < len(sides):
        return np.reshape(others, (2, 1))
    left = np.array([of_all - count_buckets(names, of_own) for of_all, of_own in zip(buckets, own, strict=True)])
    folded = min(1 << (count.bit_length() - 1), BUCKETS)
    return np.asarray(left.reshape(2, -1, folded).sum(axis=1))


def _least_expected(profile: TextProfile) -> float:
    """The expected count above which a category is listed unless it falls short by four standard deviations."""
    least = profile.counts[-1] if profile.further else 0
    return least + 4 * math.sqrt(least)
