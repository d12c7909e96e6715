"""Means of what each row loses, under varying weights."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def average(losses: Mapping[str, NDArray[np.float64]], names: Iterable[str], weights: NDArray[Any]) -> dict[str, float]:
    """The weighted means of those losses that are asked for, by name.

    Args:
        losses: float64 of shape (n,) by name.
    """
    asked = [name for name in names if name in losses]
    if not asked:
        return {}
    # Divided last: if all rows are right, accuracy is 1 and not a little more.
    # `einsum`, because BLAS products depend on the number of threads.
    return {name: float(np.einsum("i,i->", weights, losses[name]) / weights.sum()) for name in asked}


def surprise(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log loss of the probabilities of what came true, limited as in scikit-learn: no error outweighs all others."""
    return np.asarray(-np.log(np.maximum(probabilities, np.finfo(np.float64).eps)))
