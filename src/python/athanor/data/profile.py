"""Profiles: how a dataset's columns are distributed, small enough to travel with a release, and how far others drift.

The population stability index is the symmetric Kullback-Leibler divergence between two binned distributions
(Lin 1991, "Divergence measures based on the Shannon entropy", J-divergence; Siddiqi 2006, "Credit Risk Scorecards").
Common reading: below 0.1 stable, above 0.25 shifted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.messages import is_missing

_BINS = 10
_SMALLEST_SHARE = 1e-4
_MOST_CATEGORIES = 200


class ColumnProfile(BaseModel):
    """Distribution of one column.

    Attributes:
        missing: share of rows without a value.
        edges: inner bin edges of a numeric column, ascending; bins are left-closed.
        categories: of a text column, most frequent first; further ones are counted together.
        shares: of the present values, one for each bin or category and, for text, one for all further categories.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    missing: float
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()


class Profile(BaseModel):
    """Distributions of a dataset's columns, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    columns: Mapping[str, ColumnProfile]


def profile(columns: Sequence[Column], values: Columns) -> Profile:
    """Profiles numeric and text columns; timestamps only move forward and are left out.

    Numeric bins are the deciles of the present values, fewer where deciles coincide.
    """
    profiled = {c.name: _profile_column(c, values[c.name]) for c in columns if c.kind is not Kind.TIMESTAMP}
    return Profile(rows=len(values[columns[0].name]), columns=profiled)


def _profile_column(column: Column, values: NDArray[Any]) -> ColumnProfile:
    missing = is_missing(column, values)
    present = values[~missing]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    if column.kind is Kind.TEXT:
        names, counts = np.unique(present.astype(str), return_counts=True)
        categories = tuple(names[np.argsort(-counts, kind="stable")][:_MOST_CATEGORIES].tolist())
    elif len(present):
        edges = tuple(np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1)[1:-1])).tolist())
    shape = ColumnProfile(missing=float(missing.mean()) if len(missing) else 0.0, edges=edges, categories=categories)
    return shape.model_copy(update={"shares": tuple(_shares(shape, column, present).tolist())})


def _shares(shape: ColumnProfile, column: Column, present: NDArray[Any]) -> NDArray[np.float64]:
    if column.kind is Kind.TEXT:
        position = {name: index for index, name in enumerate(shape.categories)}
        bins = np.fromiter((position.get(value, len(position)) for value in present), np.int64, len(present))
    else:
        bins = np.searchsorted(np.array(shape.edges), present.astype(np.float64), side="right")
    counts = np.bincount(bins, minlength=len(shape.categories or shape.edges) + 1)
    return np.asarray(counts / max(len(present), 1), dtype=np.float64)


def population_stability(reference: ColumnProfile, column: Column, values: NDArray[Any]) -> float:
    """Population stability index of `values` against a reference; missing values count as a bin of their own.

    0 when the distributions agree; a bin that is empty on one side counts as holding a share of 1e-4. NaN without
    values.
    """
    missing = is_missing(column, values)
    if not len(values):
        return float("nan")
    expected = np.array([*(share * (1 - reference.missing) for share in reference.shares), reference.missing])
    share_missing = float(missing.mean())
    actual = np.append(_shares(reference, column, values[~missing]) * (1 - share_missing), share_missing)
    expected, actual = np.maximum(expected, _SMALLEST_SHARE), np.maximum(actual, _SMALLEST_SHARE)
    return float(np.sum((actual - expected) * np.log(actual / expected)))
