"""Snapshots: immutable versions of a dataset in a Delta table.

A version is a set of Parquet files and one line in the table's log. The files are written first and belong to no
version; the line makes all of them a version at once. So a process that dies leaves the previous version intact, and of
two concurrent writers one gets ConflictError.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, create_table_with_add_actions
from numpy.typing import NDArray

from athanor.contract.contract import Contract
from athanor.data.snapshots.digest import content_digest
from athanor.data.snapshots.order import in_order
from athanor.data.snapshots.staging import Staged, StagedFile
from athanor.data.sources.folders.delta import require_readable_path
from athanor.data.tables.tables import arrow_schema, from_arrow
from athanor.errors import ConflictError, DataError, NotFoundError
from athanor.system.durability import sync, sync_tree
from athanor.system.named_errors import naming
from athanor.system.user import user_name

_METADATA_KEY = "athanor"
_LOG = "_delta_log"
# Releases refer to the history of a dataset: keep it forever; Delta's default is 30 days.
_CONFIGURATION = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    # Keep tombstones as long: vacuum needs them, and checkpoints would drop them after a week.
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}


@dataclass(frozen=True)
class Snapshot:
    """One immutable version of a dataset.

    Attributes:
        dataset: the table's name, which is the project's.
        version: the Delta table's version, from 0; missing numbers are other commits, such as a vacuum.
        digest: sha256 of rows and types, in hexadecimal; see `digest.py`.
        rows_in: rows read.
        rows_out: rows in the snapshot: `rows_in` plus `carried` minus all of `rejected`.
        rejected: rows read that are not in the snapshot, by reason.
        contract: the contract's fingerprint.
        raw: digest of the raw input.
        created_at: ISO 8601, UTC.
        parent: the previous version, None for the first.
        carried: rows kept from the parent by an incremental ingest.
        changes: for such an ingest, how many of the read rows were `added`, `replaced` a row or are `unchanged`.
        equal_rows: rows that repeat another one in all columns; 0 where a key forbids them.
        first_event, last_event: event times of the first and the last row, ISO 8601, UTC; "" without event times.
        by: user who made it.
        why: the user's reason.
        budgets: digest of the budgets by which it was checked last; "" in snapshots of before 2026-12.
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
    parent: int | None = None
    carried: int = 0
    changes: Mapping[str, int] = field(default_factory=dict)
    equal_rows: int = 0
    first_event: str = ""
    last_event: str = ""
    by: str = ""
    why: str = ""
    budgets: str = ""


@dataclass(frozen=True)
class Origin:
    """Where the rows of a snapshot come from; see the same names in `Snapshot`."""

    rows_in: int
    raw: str
    why: str
    rejected: Mapping[str, int] = field(default_factory=dict)
    carried: int = 0
    changes: Mapping[str, int] = field(default_factory=dict)


def commit(folder: Path, staged: Staged, origin: Origin, based_on: Snapshot | None = None) -> tuple[Snapshot, bool]:
    """Commits staged rows as a new version, unless the latest version has the same rows in intact files.

    Args:
        folder: of all datasets; the table is `folder/<contract.name>` and contains the staged files.
        based_on: the snapshot that rows were carried from, if any.

    Returns:
        The snapshot, and whether it is new. If it is not, the staged files are deleted.

    Raises:
        ConflictError: another process committed a version meanwhile. Nothing was committed and the staged files are
            deleted.
    """
    contract = staged.contract
    table = _open(folder / contract.name)
    latest = latest_snapshot(contract.name, folder)
    if based_on is not None and latest != based_on:
        staged.close()
        raise _conflict(contract.name)
    is_same = latest and (latest.digest, latest.contract) == (staged.digest, contract.fingerprint)
    if latest and is_same and _is_intact(folder, latest):
        staged.close()
        return latest, False
    snapshot = _describe(staged, origin, table, latest)
    # From here on the log may name the files: they must not be deleted, whatever happens.
    staged.is_committed = True
    try:
        # Before the log names them: no power failure may leave a version without its rows.
        staged.sync()
        _write_log(folder / contract.name, table, staged, snapshot)
    except (DeltaError, OSError) as error:
        # A failure after the log's line was written, as of a checkpoint, leaves a committed version.
        if snapshot not in list_snapshots(contract.name, folder):
            staged.is_committed = False
            staged.close()
            if _version(_open(folder / contract.name)) == _version(table):
                raise
            raise _conflict(contract.name) from error
    sync_log(folder / contract.name)
    return snapshot, True


def _describe(staged: Staged, origin: Origin, table: DeltaTable | None, latest: Snapshot | None) -> Snapshot:
    first, last = staged.time_range or ("", "")
    return Snapshot(
        dataset=staged.contract.name,
        version=_version(table) + 1,
        digest=staged.digest,
        rows_out=staged.rows,
        contract=staged.contract.fingerprint,
        budgets=staged.contract.budgets_digest,
        created_at=_now(),
        parent=None if latest is None else latest.version,
        equal_rows=staged.equal_rows,
        first_event=_instant(first),
        last_event=_instant(last),
        by=user_name(),
        **asdict(origin),
    )


def _write_log(path: Path, table: DeltaTable | None, staged: Staged, snapshot: Snapshot) -> None:
    # No retries: a retry would commit on top of a version that this one was not based on.
    properties = CommitProperties({_METADATA_KEY: json.dumps(asdict(snapshot))}, max_commit_retries=0)
    schema = Schema.from_arrow(arrow_schema(staged.contract.dataset_columns))
    actions = [_action(file, staged.contract) for file in staged.files]
    with naming(path / _LOG):
        if table is None:
            create_table_with_add_actions(
                str(path), schema, actions, configuration=_CONFIGURATION, commit_properties=properties
            )
        else:
            table.create_write_transaction([*actions], "overwrite", schema, commit_properties=properties)


def _action(file: StagedFile, contract: Contract) -> AddAction:
    ordered_by = contract.event_time
    stats = {
        "numRecords": file.rows,
        "minValues": {ordered_by.name: _instant(file.first)} if ordered_by else {},
        "maxValues": {ordered_by.name: _instant(file.last)} if ordered_by else {},
        "nullCount": file.nulls,
    }
    modified_ms = int(time.time() * 1000)
    return AddAction(file.path.name, file.path.stat().st_size, {}, modified_ms, True, json.dumps(stats))


def _instant(moment: Any) -> str:
    return f"{moment}Z" if str(moment) else ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _conflict(dataset: str) -> ConflictError:
    return ConflictError(
        f"{dataset}: another process committed a version meanwhile; nothing was committed here. Run the command again "
        "to start from that version"
    )


def sync_log(table: Path) -> None:
    """Flushes the log of a table: deltalake does not. All of it, in case another writer died before it could."""
    sync_tree(table / _LOG)
    sync(table)


def _open(path: Path, version: int | None = None) -> DeltaTable | None:
    require_readable_path(path)
    _remove_unflushed(path / _LOG)
    try:
        return DeltaTable(path, version=version)
    except TableNotFoundError:
        return None


def _remove_unflushed(log: Path) -> None:
    """Removes lines that a power failure has emptied, before their writer could flush them and say that it is done.

    deltalake writes a line before it names it, so that no living writer's is ever empty; it counts an empty one as a
    version.
    """
    for path in sorted(log.glob("*.json"), reverse=True):
        if path.stat().st_size:
            return
        path.unlink(missing_ok=True)


def _version(table: DeltaTable | None) -> int:
    return -1 if table is None else table.version()


def list_snapshots(dataset: str, folder: Path) -> list[Snapshot]:
    """All versions of a dataset, newest first; empty if the table does not exist."""
    table = _open(folder / dataset)
    if table is None:
        return []
    commits = _read_commits(folder / dataset / _LOG, table.version())
    found = ((json.loads(commit[_METADATA_KEY]), version) for version, commit in commits if _METADATA_KEY in commit)
    return [Snapshot(**{**recorded, "version": version}) for recorded, version in found]


def _read_commits(log: Path, latest: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """What the log records about each version up to `latest`, newest first; its lines are never removed.

    deltalake's own history is empty where the path has "#" or "?".
    """
    for file in sorted(log.glob("*.json"), reverse=True):
        if file.stem.isdecimal() and int(file.stem) <= latest:
            actions = map(json.loads, file.read_text().splitlines())
            yield from ((int(file.stem), action["commitInfo"]) for action in actions if "commitInfo" in action)


def latest_snapshot(dataset: str, folder: Path) -> Snapshot | None:
    return next(iter(list_snapshots(dataset, folder)), None)


def find_snapshot(dataset: str, folder: Path, version: int | None = None) -> Snapshot:
    """The given version, or the latest.

    Raises:
        NotFoundError: it does not exist.
    """
    snapshots = list_snapshots(dataset, folder)
    found = next((s for s in snapshots if version in (None, s.version)), None)
    if found is None:
        versions = ", ".join(str(s.version) for s in snapshots) or "none; build one with `data build`"
        raise NotFoundError(f"no snapshot {version if version is not None else ''} of {dataset}; there are: {versions}")
    return found


def scan(
    contract: Contract,
    folder: Path,
    snapshot: Snapshot,
    since: np.datetime64 | None = None,
    until: np.datetime64 | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Streams rows of a snapshot in an undefined order.

    Args:
        since, until: only rows with event times from `since`, inclusive, to `until`, exclusive.
        columns: names of the columns to read; all if not given.

    Raises:
        DataError: the snapshot was made under a different contract, so its rows may break this one; or its files were
            vacuumed or are corrupted; or there is a bound, and no event time.
    """
    if snapshot.contract != contract.fingerprint:
        raise DataError(
            f"snapshot {snapshot.version} of {snapshot.dataset} was made under contract {snapshot.contract}, this is "
            f"{contract.fingerprint}; build a new one with `data build`"
        )
    names = list(columns) if columns is not None else None
    with readable(snapshot):
        yield from open_dataset(folder, snapshot).to_batches(columns=names, filter=in_time(contract, since, until))


@contextmanager
def readable(snapshot: Snapshot) -> Iterator[None]:
    """Turns errors from reading the snapshot's files within the context into DataError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise _corrupted(snapshot, f"a file cannot be read ({error})") from error


def _corrupted(snapshot: Snapshot, reason: str) -> DataError:
    return DataError(
        f"snapshot {snapshot.version} of {snapshot.dataset} is corrupted or was tampered with: {reason}. Use another "
        "version, or build it again from the raw input"
    )


def in_time(contract: Contract, since: np.datetime64 | None, until: np.datetime64 | None) -> pc.Expression | None:
    """A filter for event times from `since`, inclusive, to `until`, exclusive; None for all.

    Raises:
        DataError: there is a bound, and the contract has no event time.
    """
    if since is None and until is None:
        return None
    if contract.event_time is None:
        raise DataError(
            f"{contract.name}: rows cannot be chosen by time, because the contract has no column with "
            "ROLE_EVENT_TIME; leave out the bounds, or name a version"
        )
    time_us = pa.timestamp("us", tz="UTC")
    field_ = pc.field(contract.event_time.name)
    bounds = []
    if since is not None:
        bounds.append(field_ >= pa.scalar(int(since.astype("M8[us]").astype(np.int64)), pa.int64()).cast(time_us))
    if until is not None:
        bounds.append(field_ < pa.scalar(int(until.astype("M8[us]").astype(np.int64)), pa.int64()).cast(time_us))
    return bounds[0] if len(bounds) == 1 else bounds[0] & bounds[1]


def open_dataset(folder: Path, snapshot: Snapshot) -> Any:
    """The files of a version as a `pyarrow.dataset.Dataset`, whatever contract they were made under.

    Raises:
        DataError: the files were vacuumed.
    """
    table = _open(folder / snapshot.dataset, snapshot.version)
    if table is None or not _has_files(folder, snapshot, table):
        raise DataError(
            f"the files of snapshot {snapshot.version} of {snapshot.dataset} were vacuumed; use another version (see "
            "`data log`), or build it again from the raw input"
        )
    return table.to_pyarrow_dataset()


def is_whole(folder: Path, snapshot: Snapshot) -> bool:
    """Whether all files of a version exist, that is, none was vacuumed."""
    table = _open(folder / snapshot.dataset, snapshot.version)
    return table is not None and _has_files(folder, snapshot, table)


def _has_files(folder: Path, snapshot: Snapshot, table: DeltaTable) -> bool:
    return all((folder / snapshot.dataset / name).exists() for name in file_names(table))


def _is_intact(folder: Path, snapshot: Snapshot) -> bool:
    """Whether all files of a version exist and have their recorded size."""
    table = _open(folder / snapshot.dataset, snapshot.version)
    if table is None or not _has_files(folder, snapshot, table):
        return False
    files = pa.table(table.get_add_actions()).select(["path", "size_bytes"]).to_pylist()
    return all((folder / snapshot.dataset / f["path"]).stat().st_size == f["size_bytes"] for f in files)


def file_names(table: DeltaTable) -> list[str]:
    """The paths of a version's files, relative to the table."""
    return [str(path) for path in pa.table(table.get_add_actions())["path"].to_pylist()]


def read_snapshot(contract: Contract, folder: Path, snapshot: Snapshot) -> dict[str, NDArray[Any]]:
    """All columns of a snapshot, sorted as `order.py` says.

    Raises:
        DataError: as `scan`; or the rows differ from those that were committed.
    """
    schema = arrow_schema(contract.dataset_columns)
    table = in_order(contract, pa.Table.from_batches(scan(contract, folder, snapshot), schema))
    found = content_digest(contract, table)
    if found != snapshot.digest:
        raise _corrupted(snapshot, f"its rows have digest {found}, committed was {snapshot.digest}")
    return from_arrow(contract.dataset_columns, table)


def read_slice(
    contract: Contract, folder: Path, snapshot: Snapshot, since: np.datetime64 | None, until: np.datetime64 | None
) -> dict[str, NDArray[Any]]:
    """The sorted rows of a time slice; see `scan`. Does not check the digest, which covers the whole snapshot."""
    schema = arrow_schema(contract.dataset_columns)
    table = pa.Table.from_batches(scan(contract, folder, snapshot, since, until), schema)
    return from_arrow(contract.dataset_columns, in_order(contract, table))


def read_column(
    contract: Contract,
    folder: Path,
    snapshot: Snapshot,
    name: str,
    since: np.datetime64 | None = None,
    until: np.datetime64 | None = None,
) -> NDArray[Any]:
    """One column of a snapshot or of a time slice, in an undefined order; the snapshot may be larger than memory."""
    column = contract.column(name)
    batches = scan(contract, folder, snapshot, since, until, [name])
    table = pa.Table.from_batches(batches, arrow_schema([column]))
    return from_arrow([column], table)[name]


def restore(contract_name: str, folder: Path, version: int, why: str) -> Snapshot:
    """Makes an earlier version the latest again, as a new version with the same rows.

    Raises:
        NotFoundError: there is no such version.
        DataError: its files were vacuumed, or it is already the latest.
        ConflictError: another process committed a version meanwhile.
    """
    # Opened before the history is read, so that a commit in between is a conflict and is not overwritten.
    table = _open(folder / contract_name)
    wanted, latest = find_snapshot(contract_name, folder, version), find_snapshot(contract_name, folder)
    if wanted == latest:
        raise DataError(f"snapshot {version} of {contract_name} is already the latest; nothing was restored")
    if table is None or not is_whole(folder, wanted):
        raise DataError(f"the files of snapshot {version} of {contract_name} were vacuumed; it cannot be restored")
    restored = replace(
        wanted, version=table.version() + 1, parent=latest.version, created_at=_now(), by=user_name(), why=why
    )
    properties = CommitProperties({_METADATA_KEY: json.dumps(asdict(restored))}, max_commit_retries=0)
    try:
        with naming(folder / contract_name / _LOG):
            table.restore(version, commit_properties=properties)
    except CommitFailedError as error:
        raise _conflict(contract_name) from error
    sync_log(folder / contract_name)
    return restored
