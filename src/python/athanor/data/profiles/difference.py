"""The difference of two snapshots: columns, rows by key, and column statistics."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from athanor.contract.contract import Contract
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
        changed: number of rows in both snapshots whose values differ.
        missing: share of missing values, before and after.
        mean, minimum, maximum: of the present values, before and after; the mean of booleans is the share of true.
    """

    changed: int
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
        rows: number of rows `added`, `removed`, `changed` and `unchanged`, by key.
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
        before, after = sides
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
        for side, table in zip(self.statistics, sides, strict=True):
            for name in table.column_names:
                side.setdefault(name, _Statistics()).add(table[name])

    def column(self, name: str) -> ColumnChange:
        before, after = (side.get(name, _Statistics()) for side in self.statistics)
        return ColumnChange(
            changed=self.changed[name],
            missing=(before.missing_share, after.missing_share),
            mean=(before.mean, after.mean),
            minimum=(before.extremes[0], after.extremes[0]),
            maximum=(before.extremes[1], after.extremes[1]),
        )


def compare(
    contract: Contract, folder: Path, before: Snapshot, after: Snapshot, progress: Progress | None = None
) -> Difference:
    """Compares two snapshots of a dataset, whatever contracts they were made under.

    Matches rows by the key of `contract`. If the event time is part of the key, reads the snapshots in time slices, and
    they may be larger than memory.

    Raises:
        DataError: the files of one were vacuumed; or, as may be under a different contract, a key column is missing or
            has another type, or several rows share a key.
    """
    schemas = [open_dataset(folder, snapshot).schema for snapshot in (before, after)]
    types = [{field_.name: str(field_.type) for field_ in schema} for schema in schemas]
    keys = key_names(contract)
    expected = {field_.name: str(field_.type) for field_ in arrow_schema(contract.key)}
    for snapshot, found in zip((before, after), types, strict=True):
        if wrong := [f"{name} as {kind}" for name, kind in expected.items() if found.get(name) != kind]:
            raise DataError(f"snapshot {snapshot.version} has no {', '.join(wrong)}; rows are matched by key")
    common = [name for name in types[0] if types[0][name] == types[1].get(name)]
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


def _require_unique(keys: list[str], snapshot: Snapshot, rows: pa.Table) -> None:
    if count := repeated_keys(rows.select(keys)).num_rows:
        raise DataError(
            f"snapshot {snapshot.version} has {count} keys ({', '.join(keys)}) with several rows; rows are matched by "
            "key, and this snapshot was made under a different contract"
        )


def _windows(contract: Contract, before: Snapshot, after: Snapshot) -> Iterator[tuple[Any, Any]]:
    """Time slices of about a million rows; a single one if the event time is not part of the key."""
    count = -(-max(before.rows_out, after.rows_out) // _WINDOW_ROWS)
    if contract.event_time not in contract.key or count <= 1:
        yield None, None
        return
    first = min(np.datetime64(s.first_event.removesuffix("Z"), "us") for s in (before, after))
    last = max(np.datetime64(s.last_event.removesuffix("Z"), "us") for s in (before, after))
    cuts = [first + (last - first) * part // count for part in range(1, count)]
    yield from zip([None, *cuts], [*cuts, None], strict=True)
