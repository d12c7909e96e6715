"""Weights of rows in a fit."""

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline


def weight_fit(pipeline: Any, weights: NDArray[np.float64] | None) -> dict[str, Any]:
    """Arguments of a pipeline's `fit` that weight its rows: the last step, which is the estimator, takes them.

    Args:
        weights: of the column with ROLE_WEIGHT, shape (n,); None without one.

    Raises:
        TypeError: the estimator does not take them.
    """
    if weights is None:
        return {}
    prefix, estimator = "", pipeline
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        prefix += f"{name}__"
    parameters = inspect.signature(estimator.fit).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if "sample_weight" not in parameters and not takes_any:
        raise TypeError(f"{type(estimator).__name__} takes no sample_weight, which ROLE_WEIGHT needs")
    return {f"{prefix}sample_weight": weights}
