"""An ingest that read only what is new: its rows go over those of the snapshot before, by key."""

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
    """What became of the rows that were read.

    Attributes:
        carried: rows of the parent that stay.
        changes: how many of the read rows were `added`, `replaced` another row or are `unchanged`.
        repeated: rows that share their key with another of the read ones. A row of the parent with that key stays.
    """

    carried: int = 0
    changes: Mapping[str, int] = field(default_factory=dict)
    repeated: tuple[pa.Table, ...] = ()


def merge(
    contract: Contract, folder: Path, parent: Snapshot, read: Sequence[pa.Table], staging: Staging, advance: Advance
) -> MergeResult:
    """Stages the read rows, and those of the parent whose key none of them has.

    Args:
        read: rows that keep the contract, in the order of the source; they fit into memory.
        advance: is told of each row of the parent.
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
