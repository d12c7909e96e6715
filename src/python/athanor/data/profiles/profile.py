"""Profiles: the distributions of a dataset's columns, small enough to ship with a release, independent of row order.

A numeric column is stored as its empirical distribution function: at every distinct value if there are few, otherwise
at some of them, as a quantile sketch. Quantiles, histograms and distances between distributions derive from it.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, Discriminator, Field, NonNegativeInt, Tag, TypeAdapter, ValidationError

from athanor.contract.columns import Column, Columns, Kind
from athanor.data.profiles.profile_fields import AS_JSON, Counts, Instant, NumberOrNan, Numbers
from athanor.errors import DataError

MOST_KNOTS: Final = 1_000
MOST_CATEGORIES: Final = 200
BUCKETS: Final = 4_096
"""A power of two, so that counts can be folded to fewer buckets."""

_HASHED_AT_ONCE: Final = 65_536
_LARGEST: Final = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class _Counts:
    """What all profiles of a column have: the number of rows in the dataset, and of missing values among them."""

    __pydantic_config__: ClassVar[ConfigDict] = AS_JSON

    rows: NonNegativeInt
    missing: NonNegativeInt

    @property
    def present(self) -> int:
        return self.rows - self.missing


@dataclass(frozen=True, eq=False)
class NumberProfile(_Counts):
    """Numbers, integers or booleans.

    Attributes:
        knots: distinct present values, float64, ascending; empty without values.
        at_most: number of present values up to each knot, int64; the last is `rows - missing`.
        is_exact: whether every distinct value is a knot.
        mean: of the present values; NaN without values or on overflow.
        deviation: population standard deviation of the present values; NaN likewise.
    """

    knots: Numbers
    at_most: Counts
    is_exact: bool
    mean: NumberOrNan
    deviation: NumberOrNan

    def __post_init__(self) -> None:
        is_ascending = np.all(self.knots[1:] > self.knots[:-1]) and np.all(self.at_most[1:] > self.at_most[:-1])
        last = int(self.at_most[-1]) if len(self.at_most) else 0
        if len(self.knots) != len(self.at_most) or not is_ascending or last != self.present or self.deviation < 0:
            raise ValueError("its numbers do not make a distribution function")

    def __eq__(self, other: object) -> bool:
        """Arrays by value; NaN equals NaN."""
        return isinstance(other, NumberProfile) and all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name), equal_nan=True)
            for field in fields(self)
        )

    # Arrays are not hashable.
    __hash__ = None  # type: ignore[assignment]

    def count_at_most(self, points: ArrayLike) -> NDArray[np.int64]:
        """Number of present values up to each point, int64; between two knots, the number up to the lower one."""
        return np.concatenate(([0], self.at_most))[np.searchsorted(self.knots, points, side="right")]

    def quantiles(self, shares: ArrayLike) -> NDArray[np.float64]:
        """For each share, 0 to 1, the smallest knot that covers so many present values; NaN without values."""
        if not self.present:
            return np.full(np.shape(shares), np.nan)
        return self.knots[np.searchsorted(self.at_most / self.present, shares)]


def _is_empty(values: tuple[int, ...]) -> bool:
    return not values


@dataclass(frozen=True)
class TextProfile(_Counts):
    """Text.

    Attributes:
        distinct: number of distinct values.
        categories: up to 200 most frequent values, by descending count, then by name.
        counts: number of rows for each of `categories`.
        further: number of rows with a value outside `categories`.
        buckets: number of rows by a hash of the value, for all values, if `further` is not 0; () otherwise, and in
            profiles of earlier versions. The buckets of two profiles add up to the buckets of their rows together.
    """

    distinct: NonNegativeInt
    categories: tuple[str, ...]
    counts: tuple[int, ...]
    further: NonNegativeInt
    buckets: Annotated[tuple[NonNegativeInt, ...], Field(exclude_if=_is_empty)] = ()

    def __post_init__(self) -> None:
        if len(self.categories) != len(self.counts) or "" in self.categories:
            raise ValueError("categories and counts do not match")
        ranked = [(-count, name) for count, name in zip(self.counts, self.categories, strict=True)]
        in_order = ranked == sorted(ranked) and len(set(self.categories)) == len(ranked)
        left = self.distinct - len(ranked)
        are_counted = min(self.counts, default=1) > 0 and sum(self.counts) + self.further == self.present
        if not in_order or not are_counted or not min(self.further, 1) <= left <= self.further:
            raise ValueError("its counts do not make a distribution")
        if self.buckets:
            is_complete = len(self.buckets) == BUCKETS and sum(self.buckets) == self.present
            if not is_complete or np.any(count_buckets(self.categories, self.counts) > self.buckets):
                raise ValueError("its buckets do not hold its counts")

    def count_buckets(self) -> NDArray[np.int64] | None:
        """Number of rows by a hash of the value, of shape (BUCKETS,); None where that is not known."""
        if self.buckets:
            return np.array(self.buckets, dtype=np.int64)
        return None if self.further else count_buckets(self.categories, self.counts)


def count_buckets(values: Sequence[str], counts: ArrayLike) -> NDArray[np.int64]:
    """The sum of `counts` by a hash of the value, of shape (BUCKETS,): the same hash in every process and version."""
    hashes = (hashlib.blake2b(value.encode(), digest_size=8).digest() for value in values)
    buckets = np.fromiter((int.from_bytes(digest, "big") % BUCKETS for digest in hashes), np.int64)
    counted = np.zeros(BUCKETS, dtype=np.int64)
    np.add.at(counted, buckets, np.asarray(counts, dtype=np.int64))
    return counted


@dataclass(frozen=True)
class TimeProfile(_Counts):
    """Instants in UTC.

    Attributes:
        first, last: earliest and latest, datetime64[us]; None without values.
    """

    first: Instant
    last: Instant

    def __post_init__(self) -> None:
        has_both = self.first is not None and self.last is not None and self.first <= self.last
        has_none = self.first is None and self.last is None
        if not (has_both if self.present > 0 else has_none and self.present == 0):
            raise ValueError("its instants do not make a period")


ColumnProfile: TypeAlias = NumberProfile | TextProfile | TimeProfile


def _tag(value: Any) -> str:
    """The field that identifies the type of a profile, as JSON or as an object."""
    names = value if isinstance(value, Mapping) else getattr(value, "__dataclass_fields__", {})
    return next((name for name in ("knots", "categories") if name in names), "first")


_TaggedProfile: TypeAlias = Annotated[
    Annotated[NumberProfile, Tag("knots")]
    | Annotated[TextProfile, Tag("categories")]
    | Annotated[TimeProfile, Tag("first")],
    Discriminator(_tag),
]


@dataclass(frozen=True)
class Profile:
    """Distributions of a dataset's columns by name; independent of row order."""

    __pydantic_config__: ClassVar[ConfigDict] = AS_JSON

    rows: NonNegativeInt
    columns: Mapping[str, _TaggedProfile]

    def __post_init__(self) -> None:
        if others := [name for name, column in self.columns.items() if column.rows != self.rows]:
            raise ValueError(f"it has {self.rows} rows, but not in {', '.join(others)}")

    def to_json(self) -> str:
        """Deterministic JSON. NaN becomes null, an instant ISO 8601."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "Profile":
        """The exact inverse of `to_json`.

        Raises:
            DataError: the text is not a profile, or its numbers are inconsistent; the message lists the fields.
        """
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            found = (f"{'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in error.errors(include_url=False))
            raise DataError(f"this is not a profile: {'; '.join(found)}") from None


_ADAPTER: Final = TypeAdapter(Profile)


def profile(columns: Sequence[Column], values: Columns, most_knots: int | None = MOST_KNOTS) -> Profile:
    """Profiles every column.

    Args:
        columns: at least one.
        most_knots: limit for numeric columns; None for all distinct values.
    """
    profiled = {column.name: profile_column(column, values[column.name], most_knots) for column in columns}
    return Profile(rows=len(values[columns[0].name]), columns=profiled)


def profile_column(column: Column, values: NDArray[Any], most_knots: int | None = MOST_KNOTS) -> ColumnProfile:
    """Profiles one column, for callers that read a table column by column.

    Args:
        values: of length `n` and the dtype of the column's kind. -0.0 counts as 0.0. An infinity, which a valid dataset
            never contains, counts as the largest finite number of its sign.
        most_knots: at least 2. If there are more distinct values, knots are the values at that many evenly spaced
            ranks, including first and last. Counts at knots are exact, and fewer than `1 / (most_knots - 1)` of the
            values lie between two knots.

    Raises:
        DataError: a text is not valid Unicode.
    """
    if column.kind is Kind.TEXT:
        return _profile_text(column, values)
    return _profile_times(values) if column.kind is Kind.TIMESTAMP else _profile_numbers(values, most_knots)


def _profile_numbers(values: NDArray[np.float64], most_knots: int | None) -> NumberProfile:
    # NaN sorts last. Adding zero turns -0.0 into 0.0; otherwise row order would decide which of the two is a knot.
    ordered = np.sort(values + 0.0)
    present = ordered[: np.searchsorted(ordered, np.nan)]
    np.clip(present, -_LARGEST, _LARGEST, out=present)
    at_most = np.append(np.flatnonzero(present[1:] != present[:-1]) + 1, len(present))[: len(present)]
    knots = present[at_most - 1]
    mean, deviation = _moments(knots, at_most)
    is_exact = most_knots is None or len(knots) <= most_knots
    if most_knots is not None and not is_exact:
        if most_knots < 2:
            raise ValueError(f"a sketch needs at least 2 knots, not {most_knots}")
        ranks = np.arange(most_knots) * (len(present) - 1) // (most_knots - 1)
        chosen = np.unique(np.searchsorted(at_most, ranks, side="right"))
        knots, at_most = knots[chosen], at_most[chosen]
    return NumberProfile(len(values), len(values) - len(present), knots, at_most, is_exact, mean, deviation)


def _moments(distinct: NDArray[np.float64], at_most: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and standard deviation, summed over distinct values so that row order does not matter."""
    if not len(distinct):
        return math.nan, math.nan
    weights = np.diff(at_most, prepend=0) / at_most[-1]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.sum(distinct * weights))
        deviation = float(np.sqrt(np.sum((distinct - mean) ** 2 * weights)))
    return (mean if math.isfinite(mean) else math.nan), (deviation if math.isfinite(deviation) else math.nan)


def _profile_text(column: Column, values: NDArray[Any]) -> TextProfile:
    try:
        counted = pc.value_counts(pa.array(values, type=pa.large_string()))
    except UnicodeEncodeError as error:
        raise DataError(f"{column.name} contains text that is not valid Unicode: {error}") from None
    table = pa.table({"names": counted.field("values"), "counts": counted.field("counts")})
    table = table.filter(pc.not_equal(table["names"], ""))
    by_rank = [("counts", "descending"), ("names", "ascending")]
    # Arrow fails on an empty table.
    kept = table.take(pc.select_k_unstable(table, MOST_CATEGORIES, by_rank)) if len(table) else table
    present = pc.sum(table["counts"]).as_py() or 0
    counts = tuple(kept["counts"].to_pylist())
    is_complete = len(kept) == len(table)
    return TextProfile(
        rows=len(values),
        missing=len(values) - present,
        distinct=len(table),
        categories=tuple(kept["names"].to_pylist()),
        counts=counts,
        further=present - sum(counts),
        buckets=() if is_complete else _count_all(table),
    )


def _count_all(table: pa.Table) -> tuple[int, ...]:
    """Buckets of all categories, few of which are Python objects at once."""
    counted = np.zeros(BUCKETS, dtype=np.int64)
    for batch in table.to_batches(max_chunksize=_HASHED_AT_ONCE):
        counted += count_buckets(batch["names"].to_pylist(), batch["counts"])
    return tuple(counted.tolist())


def _profile_times(values: NDArray[np.datetime64]) -> TimeProfile:
    present = values[~np.isnat(values)]
    first, last = (present.min(), present.max()) if len(present) else (None, None)
    return TimeProfile(len(values), len(values) - len(present), first, last)
