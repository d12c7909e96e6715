"""The expected calibration error.

Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning".
"""

import numpy as np
from numpy.typing import NDArray


def calibration_error(
    claimed: NDArray[np.float64],
    observed: NDArray[np.float64],
    bins: int,
    by: NDArray[np.float64] | None = None,
    weights: NDArray[np.float64] | None = None,
) -> float:
    """The mean distance of what is claimed and what is observed over bins of equal counts, weighted by their rows.

    Equal values share a bin, so that the order of rows does not matter.

    Args:
        claimed: shape (n,), such as probabilities. NaN gives NaN.
        observed: whether it came true, 0 or 1, shape (n,).
        bins: number of bins.
        by: what is binned, shape (n,); `claimed` if not given.
        weights: of the rows, shape (n,); equal ones if not given.
    """
    by = claimed if by is None else by
    if np.isnan(by).any() or np.isnan(claimed).any():
        return np.nan
    weights = np.ones(len(by)) if weights is None else weights
    edges = np.quantile(by, np.linspace(0, 1, bins + 1)[1:-1])
    gaps = np.bincount(np.searchsorted(edges, by), weights=weights * (claimed - observed))
    return float(np.abs(gaps).sum() / weights.sum())
