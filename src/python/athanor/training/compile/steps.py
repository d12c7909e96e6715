"""The fitted estimators of a pipeline."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from skl2onnx.sklapi import CastTransformer
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def find_last(estimator: Any) -> Any:
    """The last step of a pipeline of pipelines; an estimator is its own."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


def walk(estimator: Any, whole: tuple[type, ...]) -> Iterator[Any]:
    """The fitted estimators in a pipeline, and in each other. What is inside a `whole` one is its own affair."""
    if isinstance(estimator, Pipeline):
        inside: Iterable[Any] = [step for _, step in estimator.steps]
    elif _is_fitted(estimator):
        yield estimator
        inside = () if isinstance(estimator, whole) else _list_fitted_parts(estimator)
    else:
        return
    for each in inside:
        yield from walk(each, whole)


def _list_fitted_parts(estimator: BaseEstimator) -> Iterator[Any]:
    for name, value in vars(estimator).items():
        if name.endswith("_"):
            yield from _list_estimators(value)


def _list_estimators(value: Any) -> Iterator[Any]:
    if isinstance(value, BaseEstimator):
        yield value
    elif isinstance(value, dict):
        yield from _list_estimators(list(value.values()))
    elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == np.object_):
        for each in value:
            yield from _list_estimators(each)


def widen(estimator: Any, whole: tuple[type, ...]) -> Any:
    """Casts what the last step takes to float64, unless that is converted as a `whole`."""
    if isinstance(estimator, whole):
        return estimator
    if not isinstance(estimator, Pipeline):
        return Pipeline([("double", CastTransformer(dtype=np.float64)), ("last", estimator)])
    *first, (name, last) = estimator.steps
    return Pipeline([*first, (name, widen(last, whole))])


def _is_fitted(estimator: Any) -> bool:
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):
        # A text such as "passthrough" is no estimator.
        return False
    return True
