"""Snapshots: immutable versions of a dataset in a Delta table."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError
from numpy.typing import NDArray

from athanor.contract.columns import Columns, Kind
from athanor.contract.contract import Contract
from athanor.data.tables import from_arrow, to_arrow
from athanor.data.validation import Accepted, sort_order
from athanor.errors import DataError, NotFoundError

_METADATA_KEY = "athanor"


@dataclass(frozen=True)
class Snapshot:
    """One immutable version of a dataset.

    Attributes:
        dataset: the table's name, that of the project.
        version: from 0, the table's own; versions in between may be other work on the table, such as compaction.
        digest: sha256 of rows and types, in hexadecimal; file layout and row order do not matter.
        rows_in: rows that were read; `rows_out` plus all of `rejected`.
        rejected: rows that are not in the snapshot, by reason.
        contract: the contract's fingerprint.
        raw: digest of the raw files.
        created_at: ISO 8601, UTC.
    """

    dataset: str
    version: int
    digest: str
    rows_in: int
    rows_out: int
    rejected: Mapping[str, int]
    contract: str
    raw: str
    created_at: str


def content_digest(contract: Contract, values: Columns) -> str:
    """sha256, in hexadecimal, over names, types and values in the dataset's one order."""
    order = sort_order(contract, values)
    digest = hashlib.sha256()
    for column in contract.dataset_columns:
        digest.update(f"{column.name}:{column.kind.value}:{len(order)}\n".encode())
        digest.update(_canonical_bytes(column.kind, values[column.name][order]))
    return digest.hexdigest()


def _canonical_bytes(kind: Kind, values: NDArray[Any]) -> bytes:
    if kind is Kind.TEXT:
        encoded = [value.encode() for value in values]
        return np.array([len(value) for value in encoded], dtype="<u4").tobytes() + b"".join(encoded)
    if kind is Kind.TIMESTAMP:
        return values.astype("<i8").tobytes()
    # Adding zero makes -0.0 zero; NaN has many bit patterns, one is written.
    return np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8").tobytes()


def commit(contract: Contract, accepted: Accepted, folder: Path, rows_in: int, raw: str) -> tuple[Snapshot, bool]:
    """Commits a new version, unless the latest holds the same rows already.

    Args:
        folder: of all datasets; the table is `folder/<contract.name>`.
        rows_in: rows that were read.
        raw: digest of the raw files.

    Returns:
        The snapshot, and whether it is new.
    """
    digest = content_digest(contract, accepted.columns)
    latest = latest_snapshot(contract.name, folder)
    if latest and (latest.digest, latest.contract) == (digest, contract.fingerprint):
        return latest, False
    snapshot = Snapshot(
        dataset=contract.name,
        version=_next_version(folder / contract.name),
        digest=digest,
        rows_in=rows_in,
        rows_out=len(accepted.columns[contract.label.name]),
        rejected=dict(accepted.rejected),
        contract=contract.fingerprint,
        raw=raw,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_deltalake(
        folder / contract.name,
        to_arrow(contract.dataset_columns, accepted.columns),
        mode="overwrite",
        schema_mode="overwrite",
        commit_properties=CommitProperties(custom_metadata={_METADATA_KEY: json.dumps(asdict(snapshot))}),
    )
    return snapshot, True


def _next_version(table: Path) -> int:
    try:
        return DeltaTable(table).version() + 1
    except TableNotFoundError:
        return 0


def list_snapshots(dataset: str, folder: Path) -> list[Snapshot]:
    """All versions of a dataset, newest first; empty where there is no such table."""
    try:
        history = DeltaTable(folder / dataset).history()
    except TableNotFoundError:
        return []
    found = ((json.loads(entry[_METADATA_KEY]), entry["version"]) for entry in history if _METADATA_KEY in entry)
    return [Snapshot(**{**recorded, "version": version}) for recorded, version in found]


def latest_snapshot(dataset: str, folder: Path) -> Snapshot | None:
    return next(iter(list_snapshots(dataset, folder)), None)


def find_snapshot(dataset: str, folder: Path, version: int | None = None) -> Snapshot:
    """The given version, or the latest.

    Raises:
        NotFoundError: there is none.
    """
    snapshots = list_snapshots(dataset, folder)
    found = next((s for s in snapshots if version in (None, s.version)), None)
    if found is None:
        versions = ", ".join(str(s.version) for s in snapshots) or "none; make one with `data build`"
        raise NotFoundError(f"no snapshot {version if version is not None else ''} of {dataset}; there are: {versions}")
    return found


def read_snapshot(contract: Contract, folder: Path, snapshot: Snapshot) -> dict[str, NDArray[Any]]:
    """The columns of a snapshot, in the dataset's one order.

    Raises:
        DataError: it was made under another contract, so that nobody knows whether its rows keep this one.
    """
    if snapshot.contract != contract.fingerprint:
        raise DataError(
            f"snapshot {snapshot.version} of {snapshot.dataset} was made under contract {snapshot.contract}, this is "
            f"{contract.fingerprint}; make a new one with `data build`"
        )
    table = DeltaTable(folder / snapshot.dataset, version=snapshot.version).to_pyarrow_table()
    values = from_arrow(contract.dataset_columns, table)
    order = sort_order(contract, values)
    return {name: array[order] for name, array in values.items()}
