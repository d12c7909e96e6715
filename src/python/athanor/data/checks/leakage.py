"""Target leakage: features that contain the label because they were recorded after the outcome.

For each feature alone, the probability with which its value puts two rows with different labels in the order of their
labels, a tie counting half. For two labels this is the area under the ROC curve (Hanley and McNeil 1982, "The meaning
and use of the area under a receiver operating characteristic curve"). For categories it is the largest area of one
category against the rest; for numbers the concordance, (1 + Somers' D) / 2 (Somers 1962, "A new asymmetric measure of
association for ordinal variables"). So one scale, from 0.5 for chance to 1, holds for every label.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from athanor.contract.columns import Column, Columns, Kind, Role
from athanor.contract.contract import Contract
from athanor.contract.messages import is_missing

_FEWEST: Final = 10


@dataclass(frozen=True)
class Separation:
    """How well one feature alone orders rows by their label.

    Attributes:
        area: 0.5 for chance, 1 if it always does.
        error: standard error of the area; infinite if there are too few rows to tell.
        category: of a label with categories, the one that the feature tells best from the rest; "" for other labels.
        is_of_numbers: whether the label is a number, and the area a concordance.
    """

    area: float
    error: float
    category: str = ""
    is_of_numbers: bool = False


def measure_separations(contract: Contract, values: Columns) -> dict[str, Separation]:
    """How well each feature alone orders the rows by their label, by its name. Skips timestamps.

    A missing number ranks below all others, so that values missing for one label only show up. A text is scored by the
    label's rate, or its mean rank, among the rows with that text in the other half of the data, so that a rare text
    does not predict itself. Empty if all labels are equal, or are timestamps.
    """
    labels = values[contract.label.name]
    if contract.label.kind is Kind.TIMESTAMP or not len(labels) or (labels == labels[0]).all():
        return {}
    features = (c for c in contract.columns if Role.FEATURE in c.roles and c.kind is not Kind.TIMESTAMP)
    separate = _SEPARATE.get(contract.label.kind, _separate_numbers)
    return {column.name: separate(_Feature.read(column, values[column.name]), labels) for column in features}


@dataclass(frozen=True)
class _Feature:
    """The values of a feature.

    Attributes:
        ranks: of a number; None for a text.
        codes: a number for each distinct text.
    """

    ranks: NDArray[np.float64] | None
    codes: NDArray[np.int64]

    @classmethod
    def read(cls, column: Column, values: NDArray[Any]) -> "_Feature":
        if column.kind is Kind.TEXT:
            # As objects: numpy's own texts all have the length of the longest.
            return cls(None, pd.factorize(values)[0])
        return cls(stats.rankdata(np.where(is_missing(column, values), -np.inf, values)), np.empty(0, np.int64))

    def rank(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        """The rank of each row: of its number, or of the mean target of its text in the other half of the data."""
        if self.ranks is not None:
            return self.ranks
        score = np.empty(len(targets))
        # A random split with a fixed seed: alternating rows would miss a pattern in every other row.
        halves = np.random.default_rng(0).permutation(len(targets)) % 2 == 0
        for half in (halves, ~halves):
            score[half] = self._average(~half, targets)[self.codes[half]]
        return np.asarray(stats.rankdata(score))

    def _average(self, half: NDArray[np.bool_], targets: NDArray[Any]) -> NDArray[np.float64]:
        """Mean target of each text in a half; of all rows, for a text that the half lacks."""
        count = int(self.codes.max()) + 1
        rows = np.bincount(self.codes[half], minlength=count)
        sums = np.bincount(self.codes[half], weights=targets[half], minlength=count)
        return np.where(rows > 0, sums / np.maximum(rows, 1), targets.mean())


def _separate_truths(feature: _Feature, labels: NDArray[Any]) -> Separation:
    return _separate_one(feature, labels == 1, "")


def _separate_categories(feature: _Feature, labels: NDArray[Any]) -> Separation:
    found = [_separate_one(feature, labels == category, category) for category in sorted(set(labels))]
    return max(found, key=lambda one: one.area - 3 * one.error)


def _separate_one(feature: _Feature, is_one: NDArray[np.bool_], category: str) -> Separation:
    """How well a feature tells the rows of one label from the rest."""
    count, others = int(is_one.sum()), int((~is_one).sum())
    area = (feature.rank(is_one)[is_one].sum() - count * (count + 1) / 2) / (count * others)
    area = float(max(area, 1 - area))
    return Separation(area, standard_error(area, count, others), category)


def _separate_numbers(feature: _Feature, labels: NDArray[Any]) -> Separation:
    ranks = feature.rank(stats.rankdata(labels))
    differing, ordered = _share_differing(labels), _share_differing(ranks)
    if not ordered:
        return Separation(0.5, math.inf, is_of_numbers=True)
    # Kendall's tau-b counts ties on either side; Somers' D asks only about rows with different labels.
    tau = float(stats.kendalltau(ranks, labels).statistic)
    somers = min(abs(tau) * math.sqrt(ordered / differing), 1.0)
    return Separation(0.5 + somers / 2, concordance_error(somers, differing * len(labels)), is_of_numbers=True)


def _share_differing(values: NDArray[Any]) -> float:
    """Share of pairs of rows with different values."""
    _, counts = np.unique(values, return_counts=True)
    return 1 - float((counts * (counts - 1)).sum()) / (len(values) * (len(values) - 1))


_SEPARATE: Final[Mapping[Kind, Callable[[_Feature, NDArray[Any]], Separation]]] = {
    Kind.BOOLEAN: _separate_truths,
    Kind.TEXT: _separate_categories,
}


def has_enough_rows(label: Column, labels: NDArray[Any]) -> bool:
    """Whether there are rows enough, of at least one label, to tell a separation from chance."""
    if label.kind in (Kind.NUMBER, Kind.INTEGER):
        return len(labels) > 1 and _share_differing(labels) * len(labels) >= 2 * _FEWEST
    _, counts = np.unique(labels, return_counts=True)
    return bool((np.minimum(counts, len(labels) - counts) >= _FEWEST).any())


def standard_error(area: float, trues: int, falses: int) -> float:
    """The standard error of an AUC by Hanley and McNeil's formula; infinite for fewer than ten rows of a label."""
    if min(trues, falses) < _FEWEST:
        return math.inf
    both_trues, both_falses = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (trues - 1) * (both_trues - area**2) + (falses - 1) * (both_falses - area**2)
    return math.sqrt(max(area * (1 - area) + spread, 0.0) / (trues * falses))


def concordance_error(somers: float, rows: float) -> float:
    """An upper bound of the standard error of a concordance; infinite for fewer than twenty rows.

    Hoeffding 1948, "A class of statistics with asymptotically normal distribution": a mean over pairs of rows has at
    most twice the variance of a mean over as many independent values.

    Args:
        somers: Somers' D, twice the distance of the concordance from 0.5.
        rows: number of rows, times the share of their pairs with different labels.
    """
    return math.sqrt(2 * (1 - somers**2) / rows) / 2 if rows >= 2 * _FEWEST else math.inf
