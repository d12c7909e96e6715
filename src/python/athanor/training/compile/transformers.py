"""scikit-learn's transformers of numbers, in the type and order of its own operations.

A number that is rounded otherwise crosses a threshold behind it: skl2onnx multiplies by the reciprocal of a scale where
scikit-learn divides.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from athanor.training.compile.converter import Values
from athanor.training.compile.nodes import Nodes

_TYPES: Final = {False: (np.float32, TensorProto.FLOAT), True: (np.float64, TensorProto.DOUBLE)}


def convert_standard_scaler(nodes: Nodes, scaler: StandardScaler, values: Values) -> str:
    """It rounds its means and scales to the type of its input."""
    dtype, _ = _TYPES[values.is_double]
    tensor = values.name
    if scaler.with_mean:
        tensor = nodes.add("Sub", tensor, nodes.constant(scaler.mean_, dtype))
    if scaler.scale_ is not None:
        tensor = nodes.add("Div", tensor, nodes.constant(scaler.scale_, dtype))
    return tensor


def convert_robust_scaler(nodes: Nodes, scaler: RobustScaler, values: Values) -> str:
    steps = [("Sub", scaler.center_), ("Div", scaler.scale_)]
    return _compute(nodes, values, [(kind, array) for kind, array in steps if array is not None])


def convert_max_abs_scaler(nodes: Nodes, scaler: MaxAbsScaler, values: Values) -> str:
    return _clip(nodes, _compute(nodes, values, [("Div", scaler.scale_)]), scaler, values, (-1.0, 1.0))


def convert_min_max_scaler(nodes: Nodes, scaler: MinMaxScaler, values: Values) -> str:
    steps = [("Mul", scaler.scale_), ("Add", scaler.min_)]
    return _clip(nodes, _compute(nodes, values, steps), scaler, values, scaler.feature_range)


def count_same(transformer: Any) -> int:
    """Of a transformer that gives as many columns as it takes."""
    return int(transformer.n_features_in_)


def _compute(nodes: Nodes, values: Values, steps: list[tuple[str, NDArray[np.float64]]]) -> str:
    """Operations in place: each computes in float64 and rounds to the type of its input."""
    tensor = values.name
    for kind, array in steps:
        wide = tensor if values.is_double else nodes.to_double(tensor)
        tensor = nodes.add(kind, wide, nodes.constant(array))
        if not values.is_double:
            tensor = nodes.cast(tensor, TensorProto.FLOAT)
    return tensor


def _clip(nodes: Nodes, tensor: str, scaler: Any, values: Values, bounds: tuple[float, float]) -> str:
    if not scaler.clip:
        return tensor
    dtype, _ = _TYPES[values.is_double]
    return nodes.add("Clip", tensor, *(nodes.constant(bound, dtype) for bound in bounds))


def convert_imputer(nodes: Nodes, imputer: SimpleImputer, values: Values) -> str:
    """With the indicators of `add_indicator`, which skl2onnx leaves out."""
    kept = _find_kept(imputer)
    dtype, to = _TYPES[values.is_double]
    dtype = str if values.is_text else dtype
    taken = values.name if len(kept) == values.width else nodes.take(values.name, kept)
    fill = nodes.constant(imputer.statistics_[kept], dtype)
    parts = [nodes.add("Where", _find_missing(nodes, imputer, taken, dtype), fill, taken)]
    if imputer.indicator_ is not None:
        shown = nodes.take(values.name, imputer.indicator_.features_)
        parts.append(nodes.cast(_find_missing(nodes, imputer, shown, dtype), to))
    return nodes.concat(parts)


def count_imputed(imputer: SimpleImputer) -> int:
    """Number of columns that an imputer gives."""
    indicators = 0 if imputer.indicator_ is None else len(imputer.indicator_.features_)
    return len(_find_kept(imputer)) + indicators


def _find_missing(nodes: Nodes, imputer: SimpleImputer, tensor: str, dtype: type) -> str:
    if dtype is not str and np.isnan(imputer.missing_values):
        return nodes.add("IsNaN", tensor)
    return nodes.add("Equal", tensor, nodes.constant(imputer.missing_values, dtype))


def _find_kept(imputer: SimpleImputer) -> list[int]:
    """Positions of the features that it does not drop for want of any value."""
    if imputer.keep_empty_features:
        return list(range(len(imputer.statistics_)))
    return [at for at, value in enumerate(imputer.statistics_) if isinstance(value, str) or not np.isnan(value)]
