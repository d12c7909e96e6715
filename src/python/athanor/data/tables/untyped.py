"""Texts of columns without a declared type: read as numbers and times where the contract wants them.

One `n/a` among a thousand numbers of a CSV makes its column text. Such a text may be read as a number as long as it is
as it came: `"12" * 2` is "1212", which is no number of the file.
"""

from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from athanor.contract.columns import Kind
from athanor.data.sources.columns.types import cast

_DTYPE: Final = pd.StringDtype("python", na_value=np.nan)
_INSTANTS: Final = (pa.timestamp("us", tz="UTC"), pa.timestamp("ns", tz="UTC"))


class UntypedText(str):
    """A text as it stands in the file: what pandas makes of it, other than moving it, is a plain `str`."""

    __slots__ = ()


def to_untyped(texts: pa.ChunkedArray) -> "pd.Series[Any]":
    """A series of dtype `str` that holds `UntypedText`."""
    values = [np.nan if text is None else UntypedText(text) for text in texts.to_pylist()]
    return pd.Series(pd.array(np.array(values, dtype=object), dtype=_DTYPE))


def is_untyped(series: "pd.Series[Any]") -> bool:
    """Whether some texts may be `UntypedText`."""
    return isinstance(series.dtype, pd.StringDtype) and series.dtype.storage == "python"


def read_untyped(kind: Kind, series: "pd.Series[Any]") -> "pd.Series[Any]":
    """The same values, each `UntypedText` as a value of a kind other than text; texts that cannot be read stay."""
    if kind is Kind.TEXT or not (is_untyped(series) or series.dtype == object):
        return series
    values = series.astype(object).to_numpy(copy=True)
    rows = np.flatnonzero([isinstance(value, UntypedText) for value in values])
    if not len(rows):
        return series
    for arrow in _INSTANTS if kind is Kind.TIMESTAMP else (pa.bool_() if kind is Kind.BOOLEAN else pa.float64(),):
        converted, wrong = cast(pa.chunked_array([pa.array(values[rows], pa.string())]), arrow)
        right = np.delete(np.arange(len(rows)), wrong)
        values[rows[right]] = converted.take(pa.array(right)).to_pandas().astype(object)
        rows = rows[wrong]
    return pd.Series(values, series.index, dtype=object)
