"""Target leakage: features that contain the label because they were recorded after the outcome.

For each feature alone, the ROC AUC of its value as a score for the label (Hanley and McNeil 1982, "The meaning and use
of the area under a receiver operating characteristic curve"), computed from ranks: the Mann-Whitney statistic.
"""

import math
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from athanor.contract.columns import Column, Columns, Kind, Role
from athanor.contract.contract import Contract
from athanor.contract.messages import is_missing

_FEWEST: Final = 10


def single_feature_aucs(contract: Contract, values: Columns) -> dict[str, float]:
    """The ROC AUC of each feature alone, by name, from 0.5 for chance to 1. Skips timestamps.

    A missing number ranks below all others, so that values missing for one label only show up. A text is scored by the
    label's rate among the rows with that text in the other half of the data, so that a rare text does not predict
    itself. Empty if all labels are equal.
    """
    labels = values[contract.label.name] == 1
    if labels.all() or not labels.any():
        return {}
    features = [c for c in contract.columns if Role.FEATURE in c.roles and c.kind is not Kind.TIMESTAMP]
    return {column.name: _area(_score(column, values[column.name], labels), labels) for column in features}


def standard_error(area: float, trues: int, falses: int) -> float:
    """The standard error of an AUC by Hanley and McNeil's formula; infinite for fewer than ten rows of a label."""
    if min(trues, falses) < _FEWEST:
        return math.inf
    both_trues, both_falses = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (trues - 1) * (both_trues - area**2) + (falses - 1) * (both_falses - area**2)
    return math.sqrt(max(area * (1 - area) + spread, 0.0) / (trues * falses))


def _area(score: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    ranks = stats.rankdata(score)
    count = int(labels.sum())
    area = (ranks[labels].sum() - count * (count + 1) / 2) / (count * (len(labels) - count))
    return float(max(area, 1 - area))


def _score(column: Column, values: NDArray[Any], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    if column.kind is not Kind.TEXT:
        return np.where(is_missing(column, values), -np.inf, values)
    # As objects: numpy's own texts all have the length of the longest.
    codes, _ = pd.factorize(values)
    score = np.empty(len(values))
    # A random split with a fixed seed: alternating rows would miss a pattern in every other row.
    halves = np.random.default_rng(0).permutation(len(values)) % 2 == 0
    for half in (halves, ~halves):
        score[half] = _rates(codes[~half], labels[~half], int(codes.max()) + 1, float(labels.mean()))[codes[half]]
    return score


def _rates(codes: NDArray[Any], labels: NDArray[np.bool_], count: int, otherwise: float) -> NDArray[np.float64]:
    rows = np.bincount(codes, minlength=count)
    trues = np.bincount(codes, weights=labels, minlength=count)
    return np.where(rows > 0, trues / np.maximum(rows, 1), otherwise)
