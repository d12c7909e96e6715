"""Upserts the rows of an incremental ingest into the previous snapshot, by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from athanor.contract.contract import Contract
from athanor.data.snapshots.snapshot import Snapshot, scan
from athanor.data.snapshots.staging import Staging
from athanor.data.tables.keys import equal_values, is_among, key_names, repeated_keys
from athanor.data.tables.tables import arrow_schema
from athanor.progress import Advance


@dataclass(frozen=True)
class MergeResult:
    """The outcome of a merge.

    Attributes:
        carried: number of rows kept from the parent.
        changes: how many of the read rows were `added`, `replaced` a row or are `unchanged`.
        repeated: read rows that share their key with another read row. The parent's row with that key is kept.
    """

    carried: int = 0
    changes: Mapping[str, int] = field(default_factory=dict)
    repeated: tuple[pa.Table, ...] = ()


def merge(
    contract: Contract, folder: Path, parent: Snapshot, read: Sequence[pa.Table], staging: Staging, advance: Advance
) -> MergeResult:
    """Stages the read rows, and the parent's rows whose keys they do not have.

    Args:
        read: rows that pass the contract's rules, in source order; they must fit into memory.
        advance: called with the number of parent rows processed.
    """
    names = key_names(contract)
    rows = pa.concat_tables([arrow_schema(contract.dataset_columns).empty_table(), *read])
    is_repeated = is_among(rows, repeated_keys(rows.select(names)))
    new = rows.filter(pa.array(~is_repeated))
    staging.add(new)
    before = []
    carried = 0
    for batch in scan(contract, folder, parent):
        table = pa.Table.from_batches([batch])
        is_replaced = is_among(table, new.select(names))
        staging.carry(table.filter(pa.array(~is_replaced)))
        before.append(table.filter(pa.array(is_replaced)))
        carried += int((~is_replaced).sum())
        advance(f"{carried:,} rows carried over", table.num_rows)
    changes = _count_changes(new, pa.concat_tables(before), names)
    return MergeResult(carried, changes, (rows.filter(pa.array(is_repeated)),))


def _count_changes(new: pa.Table, before: pa.Table, names: Sequence[str]) -> dict[str, int]:
    after = new.filter(pa.array(is_among(new, before.select(names))))
    by_key = [(name, "ascending") for name in names]
    same = equal_values(before.sort_by(by_key), after.sort_by(by_key))
    unchanged = int(np.logical_and.reduce(list(same.values())).sum())
    return {
        "added": new.num_rows - after.num_rows,
        "replaced": after.num_rows - unchanged,
        "unchanged": unchanged,
    }
