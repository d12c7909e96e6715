"""Bytes of values: equal if and only if the values are, whatever wrote them."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def canonical_numbers(values: pa.ChunkedArray) -> NDArray[Any]:
    """Numbers, truth values and instants in eight bytes each: one zero, and one form of a missing value."""
    if pa.types.is_timestamp(values.type):
        instants = pc.fill_null(values.cast(pa.int64()), np.iinfo(np.int64).min).to_numpy()
        return np.asarray(instants, dtype="<i8")
    # Adding zero turns -0.0 into 0.0; every NaN gets the same bit pattern.
    floats = values.cast(pa.float64()).to_numpy(zero_copy_only=False) + 0.0
    floats[np.isnan(floats)] = np.nan
    return np.asarray(floats, dtype="<f8")


def canonical_texts(values: pa.ChunkedArray) -> pa.Array:
    """Texts with 64-bit offsets; "" for a missing one."""
    return pc.fill_null(values, "").combine_chunks().cast(pa.large_string())
