"""How far two distributions lie apart, and the probability that chance alone puts them so far apart.

Everything is computed from counts: of values in bins, or of values that are at most a point. P-values take the rows of
both sides as independent of each other.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import distance
from scipy.special import binom, kolmogorov, rel_entr
from scipy.stats import chi2_contingency, fisher_exact, kstwo

Bins: TypeAlias = NDArray[np.int64]
"""Counts, [2, bins]: how many values of the first and of the second side each bin holds. Each side holds some."""

_SMALLEST_SHARE: Final = 1e-4
_SMALLEST_EXPECTED: Final = 5.0
_LARGEST_EXACT: Final = 1_000


def population_stability(bins: Bins) -> float:
    """Population stability index, the symmetric Kullback-Leibler divergence: 0 when the shares agree, no upper end.

    Lin 1991, "Divergence measures based on the Shannon entropy" (J-divergence); Siddiqi 2006, "Credit Risk Scorecards".
    An empty bin counts as holding a share of 1e-4.
    """
    first, second = np.maximum(bins / bins.sum(axis=1, keepdims=True), _SMALLEST_SHARE)
    return float(np.sum(rel_entr(first, second) + rel_entr(second, first)))


def jensen_shannon(bins: Bins) -> float:
    """Jensen-Shannon distance, base 2: 0 when the shares agree, 1 when no bin holds values of both sides."""
    return float(distance.jensenshannon(*bins, base=2))


def rate_change(bins: Bins) -> float:
    """By how much the share of the first of two bins differs."""
    first, second = bins[:, 0] / bins.sum(axis=1)
    return float(abs(second - first))


def homogeneity_p_value(bins: Bins) -> float:
    """Of the hypothesis that both sides fill the bins alike: Pearson's chi-squared test.

    It serves the population stability index too, whose product with `n m / (n + m)` has the same distribution in the
    limit (Yurdakul 2018, "Statistical properties of population stability index"), but not where bins are empty. Where
    few values are expected the test does not hold (Cochran 1954, "Some methods for strengthening the common chi-squared
    tests"): the rarest bins are put together until each side may expect five values in each of them, and two bins with
    fewer are left to Fisher's exact test.

    Args:
        bins: chosen without a look at which side a value is on, or the p-value is too small.
    """
    merged = _merge_rare(bins[:, bins.any(axis=0)])
    if merged.shape[1] < 2:
        return 1.0
    smallest = merged.sum(axis=0).min() * _smaller_side(merged)
    test = fisher_exact(merged) if smallest < _SMALLEST_EXPECTED else chi2_contingency(merged, correction=False)
    return float(test.pvalue)


def _smaller_side(bins: Bins) -> float:
    """The share of all values that is on the side with fewer."""
    return float(bins.sum(axis=1).min() / bins.sum())


def _merge_rare(bins: Bins) -> Bins:
    """Looks at both sides together only, so that a difference between them changes nothing. Keeps two bins at least."""
    count = bins.shape[1]
    if count <= 2:
        return bins
    order = np.argsort(bins.sum(axis=0), kind="stable")
    expected = bins.sum(axis=0)[order] * _smaller_side(bins)
    starts, gathered = [0], 0.0
    for position, of_bin in enumerate(expected.tolist()):
        if gathered >= _SMALLEST_EXPECTED:
            starts.append(position)
            gathered = 0.0
        gathered += of_bin
    if gathered < _SMALLEST_EXPECTED and len(starts) > 1:
        starts.pop()
    if len(starts) == 1:
        starts.append(count - 1)
    return np.add.reduceat(bins[:, order], starts, axis=1)


def kolmogorov_smirnov_p_value(largest: float, first: int, second: int) -> float:
    """Of the hypothesis that both sides come from one continuous distribution; too large for one with ties.

    As `scipy.stats.ks_2samp(method="asymp")` has it, but for two things. It is no smaller than the probability that
    two samples of these sizes do not overlap. And for large samples it is the limit with the correction of Vrbik 2018,
    "Small-sample corrections to Kolmogorov-Smirnov test statistic", which differs by less than 2e-5 and takes no time.

    Args:
        largest: difference between the distribution functions.
        first, second: how many values each side has.
    """
    size = max(round(first * second / (first + second)), 1)
    if size <= _LARGEST_EXACT:
        return max(float(kstwo.sf(largest, size)), min(2 / float(binom(first + second, first)), 1.0))
    scaled = largest * np.sqrt(size)
    return float(kolmogorov(scaled + 1 / (6 * np.sqrt(size)) + (scaled - 1) / (4 * size)))


def adjust_p_values(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's procedure: rejecting what is at most `a` rejects anything that is true with probability `a` at most.

    Holm 1979, "A simple sequentially rejective multiple test procedure". Holds however the tests depend on each other.
    """
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
