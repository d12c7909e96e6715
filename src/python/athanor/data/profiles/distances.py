"""Distances between two distributions, and their p-values.

Everything is computed from counts: of values per bin, or of values up to a point. P-values assume that the rows of both
samples are independent.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import distance
from scipy.special import binom, kolmogorov, rel_entr
from scipy.stats import chi2_contingency, fisher_exact, kstwo

Bins: TypeAlias = NDArray[np.int64]
"""Counts of shape (2, bins): values of the first and of the second sample per bin. Neither sample is empty."""

_SMALLEST_SHARE: Final = 1e-4
_SMALLEST_EXPECTED: Final = 5.0
_LARGEST_EXACT: Final = 1_000


def population_stability(bins: Bins) -> float:
    """Population stability index, the symmetric Kullback-Leibler divergence: 0 for equal shares, no upper bound.

    Lin 1991, "Divergence measures based on the Shannon entropy" (J-divergence); Siddiqi 2006, "Credit Risk Scorecards".
    An empty bin counts as holding a share of 1e-4.
    """
    first, second = np.maximum(bins / bins.sum(axis=1, keepdims=True), _SMALLEST_SHARE)
    return float(np.sum(rel_entr(first, second) + rel_entr(second, first)))


def jensen_shannon(bins: Bins) -> float:
    """Jensen-Shannon distance, base 2: 0 for equal shares, 1 if no bin has values of both samples."""
    return float(distance.jensenshannon(*bins, base=2))


def rate_change(bins: Bins) -> float:
    """Absolute difference in the share of the first of two bins."""
    first, second = bins[:, 0] / bins.sum(axis=1)
    return float(abs(second - first))


def homogeneity_p_value(bins: Bins) -> float:
    """P-value of Pearson's chi-squared test that both samples have the same shares.

    Also used for the population stability index, whose product with `n m / (n + m)` has the same limiting distribution
    (Yurdakul 2018, "Statistical properties of population stability index"), except with empty bins. The test is not
    valid for small expected counts (Cochran 1954, "Some methods for strengthening the common chi-squared tests"), so
    the rarest bins are merged until each sample expects five values in every bin; if two bins remain with fewer, uses
    Fisher's exact test.

    Args:
        bins: chosen without regard to the sample of each value; otherwise the p-value is too small.
    """
    merged = _merge_rare(bins[:, bins.any(axis=0)])
    if merged.shape[1] < 2:
        return 1.0
    smallest = merged.sum(axis=0).min() * _smaller_side(merged)
    test = fisher_exact(merged) if smallest < _SMALLEST_EXPECTED else chi2_contingency(merged, correction=False)
    return float(test.pvalue)


def _smaller_side(bins: Bins) -> float:
    """The share of all values that the smaller sample holds."""
    return float(bins.sum(axis=1).min() / bins.sum())


def _merge_rare(bins: Bins) -> Bins:
    """Merges by pooled counts only, so that differences between samples have no influence. Keeps at least two bins."""
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
    """P-value of the hypothesis that both samples have one continuous distribution; conservative with ties.

    Differs from `scipy.stats.ks_2samp(method="asymp")` in two ways. It is at least the probability that two samples of
    these sizes do not overlap. For large samples it uses the limit with the correction of Vrbik 2018, "Small-sample
    corrections to Kolmogorov-Smirnov test statistic", which differs by less than 2e-5 and is much faster.

    Args:
        largest: largest difference between the distribution functions.
        first, second: sizes of the samples.
    """
    size = max(round(first * second / (first + second)), 1)
    if size <= _LARGEST_EXACT:
        return max(float(kstwo.sf(largest, size)), min(2 / float(binom(first + second, first)), 1.0))
    scaled = largest * np.sqrt(size)
    return float(kolmogorov(scaled + 1 / (6 * np.sqrt(size)) + (scaled - 1) / (4 * size)))


def adjust_p_values(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values adjusted by Holm's procedure, which controls the family-wise error rate under any dependence.

    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
