"""Metrics of the order of scores, under varying weights."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Ranking:
    """Rows in the order of their scores, sorted once."""

    def __init__(self, positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
        """Args: positive: whether a row should rank high, shape (n,). scores: shape (n,)."""
        self._order = np.argsort(scores, kind="stable")
        ascending = scores[self._order]
        self._positive_rows = self._order[positive[self._order]]
        of_positive = scores[self._positive_rows]
        # Equal scores are one threshold: for each positive row, the start and end of its threshold's rows among all
        # rows, and their start among the positive rows.
        self._begin = np.searchsorted(ascending, of_positive)
        self._end = np.searchsorted(ascending, of_positive, "right")
        self._positive_begin = np.searchsorted(of_positive, of_positive)

    def __call__(self, names: Iterable[str], weights: NDArray[Any]) -> dict[str, float]:
        """`roc_auc` and `average_precision`, as far as asked; {} unless rows of both kinds have weight."""
        positive = weights[self._positive_rows]
        below, positive_below = _before(weights[self._order]), _before(positive)
        total, positives = below[-1], positive_below[-1]
        if not 0 < positives < total:
            return {}
        begin = below[self._begin]
        found = {}
        if "roc_auc" in names:
            # Twice the number of pairs in which a positive row ranks above another row, ties counting half, minus the
            # pairs of two positive rows, which add up to the square in any order.
            pairs = np.einsum("i,i->", positive, begin + below[self._end]) - positives**2
            found["roc_auc"] = float(pairs / (2 * positives * (total - positives)))
        if "average_precision" in names:
            reached = total - begin
            precision = (positives - positive_below[self._positive_begin]) / np.where(reached > 0, reached, 1)
            found["average_precision"] = float(np.einsum("i,i->", positive, precision) / positives)
        return found


def _before(weights: NDArray[Any]) -> NDArray[Any]:
    """The cumulative sum, exclusive, with the total at the end; shape (n + 1,)."""
    sums = np.zeros(len(weights) + 1, dtype=weights.dtype)
    np.cumsum(weights, out=sums[1:])
    return sums
