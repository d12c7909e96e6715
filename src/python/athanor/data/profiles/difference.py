"""The difference of two snapshots: columns, rows by key, and column statistics.

Without a key a row is matched by all its values, so that a changed row is one that was removed and one that was added.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from athanor.contract.contract import Contract
from athanor.data.snapshots.order import row_digests
from athanor.data.snapshots.snapshot import Snapshot, in_time, open_dataset, readable
from athanor.data.tables.keys import equal_values, is_among, key_names, repeated_keys
from athanor.data.tables.tables import arrow_schema
from athanor.errors import DataError
from athanor.progress import Progress, Unwatched

_WINDOW_ROWS = 1_000_000


@dataclass(frozen=True)
class ColumnChange:
    """A column of both snapshots. Statistics are NaN without values, and for text and timestamps.

    Attributes:
        changed: number of rows in both snapshots whose values differ; None where no key says which row is which.
        missing: share of missing values, before and after.
        mean, minimum, maximum: of the present values, before and after; the mean of booleans is the share of true.
    """

    changed: int | None
    missing: tuple[float, float]
    mean: tuple[float, float]
    minimum: tuple[float, float]
    maximum: tuple[float, float]


@dataclass
class _Statistics:
    rows: int = 0
    missing: int = 0
    total: float = 0.0
    minimum: float = np.inf
    maximum: float = -np.inf

    def add(self, values: pa.ChunkedArray) -> None:
        self.rows += len(values)
        self.missing += values.null_count
        kind = values.type
        if len(values) > values.null_count and (pa.types.is_primitive(kind) and not pa.types.is_temporal(kind)):
            present = values.drop_null().cast(pa.float64()).to_numpy()
            self.total += float(present.sum())
            self.minimum, self.maximum = min(self.minimum, present.min()), max(self.maximum, present.max())

    @property
    def has_numbers(self) -> bool:
        return self.minimum <= self.maximum

    @property
    def mean(self) -> float:
        return self.total / (self.rows - self.missing) if self.has_numbers else np.nan

    @property
    def missing_share(self) -> float:
        return self.missing / self.rows if self.rows else np.nan

    @property
    def extremes(self) -> tuple[float, float]:
        return (float(self.minimum), float(self.maximum)) if self.has_numbers else (np.nan, np.nan)


@dataclass(frozen=True)
class Difference:
    """What changed between two snapshots.

    Attributes:
        columns_added, columns_removed: types by column name.
        columns_retyped: types before and after by column name.
        rows: number of rows `added`, `removed`, `changed` and `unchanged`, by key; without one, none is `changed`.
        columns: the columns of both.
    """

    before: Snapshot
    after: Snapshot
    columns_added: dict[str, str]
    columns_removed: dict[str, str]
    columns_retyped: dict[str, tuple[str, str]]
    rows: dict[str, int]
    columns: dict[str, ColumnChange]


@dataclass
class _Comparison:
    """Counts over all windows so far."""

    rows: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    statistics: tuple[dict[str, _Statistics], dict[str, _Statistics]] = field(default_factory=lambda: ({}, {}))

    def add(self, keys: list[str], sides: tuple[pa.Table, pa.Table]) -> None:
        if keys:
            self._match_by_key(keys, *sides)
        else:
            self._match_whole(*sides)
        for side, table in zip(self.statistics, sides, strict=True):
            for name in table.column_names:
                side.setdefault(name, _Statistics()).add(table[name])

    def _match_by_key(self, keys: list[str], before: pa.Table, after: pa.Table) -> None:
        stays, came = is_among(before, after.select(keys)), is_among(after, before.select(keys))
        by_key = [(name, "ascending") for name in keys]
        equal = equal_values(
            *(t.filter(pa.array(among)).sort_by(by_key) for t, among in ((before, stays), (after, came)))
        )
        same = np.logical_and.reduce(list(equal.values()))
        self.rows.update(
            added=int((~came).sum()),
            removed=int((~stays).sum()),
            changed=int((~same).sum()),
            unchanged=int(same.sum()),
        )
        self.changed.update({name: int((~is_same).sum()) for name, is_same in equal.items()})

    def _match_whole(self, before: pa.Table, after: pa.Table) -> None:
        """A row is unchanged as often as both sides have it."""
        unchanged = _count_shared(before, after)
        self.rows.update(added=after.num_rows - unchanged, removed=before.num_rows - unchanged, unchanged=unchanged)

    def column(self, name: str) -> ColumnChange:
        before, after = (side.get(name, _Statistics()) for side in self.statistics)
        return ColumnChange(
            changed=self.changed[name] if "changed" in self.rows else None,
            missing=(before.missing_share, after.missing_share),
            mean=(before.mean, after.mean),
            minimum=(before.extremes[0], after.extremes[0]),
            maximum=(before.extremes[1], after.extremes[1]),
        )


def compare(
    contract: Contract, folder: Path, before: Snapshot, after: Snapshot, progress: Progress | None = None
) -> Difference:
    """Compares two snapshots of a dataset, whatever contracts they were made under.

    Matches rows by the key of `contract`, or by all columns of both snapshots if it has none. If the event time is part
    of the key, or there is no key, reads the snapshots in time slices, and they may be larger than memory.

    Raises:
        DataError: the files of one were vacuumed; or, as may be under a different contract, a key column is missing or
            has another type, several rows share a key, or the snapshots share no column.
    """
    schemas = [open_dataset(folder, snapshot).schema for snapshot in (before, after)]
    types = [{field_.name: str(field_.type) for field_ in schema} for schema in schemas]
    keys = key_names(contract)
    expected = {field_.name: str(field_.type) for field_ in arrow_schema(contract.key)}
    for snapshot, found in zip((before, after), types, strict=True):
        if wrong := [f"{name} as {kind}" for name, kind in expected.items() if found.get(name) != kind]:
            raise DataError(f"snapshot {snapshot.version} has no {', '.join(wrong)}; rows are matched by key")
    common = [name for name in types[0] if types[0][name] == types[1].get(name)]
    if not common:
        raise DataError(f"snapshots {before.version} and {after.version} share no column; there are no rows to match")
    comparison = _Comparison()
    windows = list(_windows(contract, before, after))
    with (progress or Unwatched()).step("Compare", len(windows)) as advance:
        for window in windows:
            sides = []
            for snapshot in (before, after):
                with readable(snapshot):
                    rows = open_dataset(folder, snapshot).to_table(columns=common, filter=in_time(contract, *window))
                _require_unique(keys, snapshot, rows)
                sides.append(rows)
            comparison.add(keys, (sides[0], sides[1]))
            advance("")
    return Difference(
        before,
        after,
        columns_added={name: kind for name, kind in types[1].items() if name not in types[0]},
        columns_removed={name: kind for name, kind in types[0].items() if name not in types[1]},
        columns_retyped={n: (k, types[1][n]) for n, k in types[0].items() if types[1].get(n, k) != k},
        rows=dict(comparison.rows),
        columns={name: comparison.column(name) for name in common},
    )


def _count_shared(before: pa.Table, after: pa.Table) -> int:
    """Number of rows that both tables have; a row that one has twice and the other three times counts twice."""
    sides = []
    for side, (in_before, in_after) in ((before, (1, 0)), (after, (0, 1))):
        high, low = row_digests(side)
        counts = {"before": np.full(side.num_rows, in_before), "after": np.full(side.num_rows, in_after)}
        sides.append(pa.table({"high": high, "low": low, **counts}))
    counted = pa.concat_tables(sides).group_by(["high", "low"]).aggregate([("before", "sum"), ("after", "sum")])
    return pc.sum(pc.min_element_wise(counted["before_sum"], counted["after_sum"])).as_py() or 0


def _require_unique(keys: list[str], snapshot: Snapshot, rows: pa.Table) -> None:
    if keys and (count := repeated_keys(rows.select(keys)).num_rows):
        raise DataError(
            f"snapshot {snapshot.version} has {count} keys ({', '.join(keys)}) with several rows; rows are matched by "
            "key, and this snapshot was made under a different contract"
        )


def _windows(contract: Contract, before: Snapshot, after: Snapshot) -> Iterator[tuple[Any, Any]]:
    """Time slices of about a million rows, unless rows of one key may be in several: then a single one."""
    count = -(-max(before.rows_out, after.rows_out) // _WINDOW_ROWS)
    stay_in_slice = contract.event_time is not None and (contract.event_time in contract.key or not contract.key)
    if not stay_in_slice or count <= 1:
        yield None, None
        return
    first = min(np.datetime64(s.first_event.removesuffix("Z"), "us") for s in (before, after))
    last = max(np.datetime64(s.last_event.removesuffix("Z"), "us") for s in (before, after))
    cuts = [first + (last - first) * part // count for part in range(1, count)]
    yield from zip([None, *cuts], [*cuts, None], strict=True)
