"""Commits columns as a snapshot, without an ingest."""

from pathlib import Path
from typing import Any, Final

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.data.snapshots.snapshot import Origin, Snapshot, commit
from athanor.data.snapshots.staging import Staged, Staging
from athanor.data.tables.tables import to_arrow

MEMORY_BYTES: Final = 64 * 2**20


def stage_columns(contract: Contract, columns: Columns, folder: Path, memory_bytes: int = MEMORY_BYTES) -> Staged:
    """Stages valid rows in the table below `folder`."""
    with Staging(contract, folder / contract.name, memory_bytes) as staging:
        staging.add(to_arrow(contract.dataset_columns, columns))
        return staging.stage(lambda words, amount=1: None)


def commit_columns(
    contract: Contract, columns: Columns, folder: Path, based_on: Snapshot | None = None, **origin: Any
) -> tuple[Snapshot, bool]:
    """Commits valid rows below `folder`; returns the snapshot and whether it is a new version."""
    staged = stage_columns(contract, columns, folder)
    said = {"rows_in": staged.rows, "raw": "raw digest", "why": "a test", **origin}
    return commit(folder, staged, Origin(**said), based_on)
