"""Tries traced features on a few rows: is there one value for each, and does it depend on that row alone?"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.inputs import GraphInputs
from athanor.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto

_ROWS: Final = 7
_INSTANTS: Final = ("2013-07-04T16:30:05.25", "1969-12-31T23:59:59.999999", "2024-02-29T07:00", "2051-11-05T05:59")
_TEXTS: Final = ("a", "B c", "7")
_SHARES: Final = (0.61, 0.0, 1.0, 0.25)

# Sines of few and of many rows are computed by different instructions.
_TOLERANCE: Final = 1e-5


def try_on_rows(model: ModelProto, names: Sequence[str], columns: Sequence[Column], place: str) -> None:
    """Computes features of a few rows, together and one by one.

    Args:
        model: has an output for each feature.
        names: of the features, in the order of the outputs.
        columns: of the contract.
        place: where the features are declared.

    Raises:
        ContractError: onnxruntime cannot compute the features, or there is not one value of each for every row, or it
            depends on other rows.
    """
    rows = GraphInputs.of(columns).pack(make_rows(columns))
    singles = [{tensor: values[row : row + 1] for tensor, values in rows.items()} for row in range(_ROWS)]
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), _options(), providers=["CPUExecutionProvider"]
        )
        together, *alone = [dict(zip(names, session.run(None, given), strict=True)) for given in (rows, *singles)]
    except Exception as error:
        raise ContractError(f"{place}: onnxruntime cannot compute the features: {error}") from error
    require_length(together, _ROWS, place)
    for name, values in together.items():
        if not _are_equal(values, np.concatenate([single[name] for single in alone])):
            raise ContractError(
                f"{place}: the feature {name} of a row depends on the other rows, but the service answers each by "
                "itself; compute it from one row alone, without means, sums, sorting or positions"
            )


def require_length(computed: Mapping[str, NDArray[Any]], count: int, place: str) -> None:
    """Raises ContractError if a feature has not one value for each row."""
    for name, values in computed.items():
        if values.shape != (count,):
            raise ContractError(
                f"{place}: the feature {name} has {values.size} values for {count} rows; return one for each row: "
                "a constant is xp.full_like(column, value)"
            )


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # It raises what it would log.
    options.log_severity_level = 4
    return options


def _are_equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype.kind != "f" or one.shape != other.shape:
        return bool(np.array_equal(one, other))
    return np.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)


def make_rows(columns: Sequence[Column]) -> Columns:
    """A few rows that differ: the ends of each range, what lies between, and missing values where they are allowed."""
    return {column.name: _take(_make_values(column), start) for start, column in enumerate(columns)}


def _take(values: NDArray[Any], start: int) -> NDArray[Any]:
    return values[(start + np.arange(_ROWS)) % len(values)]


def _make_values(column: Column) -> NDArray[Any]:
    missing = [None] if column.may_be_missing else []
    if column.kind is Kind.TIMESTAMP:
        return np.array([*_INSTANTS, *("NaT" for _ in missing)], dtype="M8[us]")
    if column.kind is Kind.TEXT:
        return np.array([*(column.categories or _TEXTS), *("" for _ in missing)], dtype=object)
    if column.kind is Kind.BOOLEAN:
        return np.array([1.0, 0.0, *(np.nan for _ in missing)])
    low = column.minimum if isfinite(column.minimum) else min(-1e3, column.maximum - 1e3)
    high = column.maximum if isfinite(column.maximum) else max(1e3, low + 2e3)
    numbers = (low + share * (high - low) for share in _SHARES)
    whole = (float(round(number)) if column.kind is Kind.INTEGER else number for number in numbers)
    return np.array([*whole, *(np.nan for _ in missing)])
