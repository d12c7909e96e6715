"""Encoders of categories as tables: the row of a value, or the row of all values that no fit has seen."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from athanor.errors import ContractError
from athanor.training.compile.converter import Values
from athanor.training.compile.nodes import ML_DOMAIN, Nodes


def convert_lookup(nodes: Nodes, encoder: Any, values: Values) -> str:
    """Any encoder that treats each feature on its own: its tables are what it answers to each category."""
    parts = []
    for position, categories in enumerate(encoder.categories_):
        table = _make_table(encoder, position)
        if not table.shape[1]:
            continue
        index = nodes.add(
            "LabelEncoder",
            nodes.take(values.name, [position]),
            domain=ML_DOMAIN,
            values_int64s=list(range(len(categories))),
            default_int64=len(categories),
            **_make_keys(encoder, categories, values),
        )
        flat = nodes.add("Reshape", index, nodes.constant([-1], np.int64))
        parts.append(nodes.add("Gather", nodes.constant(table), flat, axis=0))
    return nodes.concat(parts)


def count_columns(encoder: Any) -> int:
    """Number of columns that an encoder gives."""
    return sum(_list_widths(encoder))


def _make_keys(encoder: Any, categories: NDArray[Any], values: Values) -> dict[str, Any]:
    if values.is_text:
        return {"keys_strings": [str(each).encode() for each in categories]}
    if np.isnan(categories.astype(np.float64)).any():
        raise ContractError(
            f"{type(encoder).__name__} has a missing number as a category, which is not compiled; impute it first"
        )
    return {"keys_floats": categories.astype(np.float32).tolist()}


def _make_table(encoder: Any, position: int) -> NDArray[np.float64]:
    """What it makes of each category of a feature, then of an unknown value: float64 of shape (categories + 1, w)."""
    categories = encoder.categories_[position]
    known = _transform(encoder, position, categories)
    try:
        unknown = _transform(encoder, position, _make_unknown(categories))
    except ValueError:
        # It refuses unknown values: their answer is no number.
        unknown = np.full((1, known.shape[1]), np.nan)
    return np.vstack([known, unknown])


def _transform(encoder: Any, position: int, values: NDArray[Any]) -> NDArray[np.float64]:
    """The columns of one feature, where the others have any category."""
    usual = [categories[0] for categories in encoder.categories_]
    rows = np.array([usual] * len(values), dtype=np.result_type(*encoder.categories_))
    rows[:, position] = values
    with warnings.catch_warnings():
        # Of names that an array lacks, and of unknown values.
        warnings.simplefilter("ignore")
        transformed = encoder.transform(rows)
    dense = transformed.toarray() if hasattr(transformed, "toarray") else np.asarray(transformed)
    begin, end = np.cumsum([0, *_list_widths(encoder)])[position : position + 2]
    return np.asarray(dense[:, begin:end], np.float64)


def _list_widths(encoder: Any) -> list[int]:
    """Number of columns of each feature."""
    count = len(encoder.categories_)
    if isinstance(encoder, OneHotEncoder):
        # It publishes the names of all its columns together.
        return list(encoder._n_features_outs)
    is_of_classes = isinstance(encoder, TargetEncoder) and encoder.target_type_ == "multiclass"
    return [len(encoder.classes_) if is_of_classes else 1] * count


def _make_unknown(categories: NDArray[Any]) -> NDArray[Any]:
    if categories.dtype.kind in "iuf":
        return np.array([2 * np.abs(categories).max() + 1])
    text = "unknown"
    while text in categories:
        text += "_"
    return np.array([text], dtype=object)
