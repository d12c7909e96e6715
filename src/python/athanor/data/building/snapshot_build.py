"""Builds a snapshot: ingest, transform, validate, stage, commit."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from athanor.contract.contract import Contract
from athanor.data.building.engine import Engine, Job, ProcessedBatch, Reading, pandas_engine
from athanor.data.checks.dataset_checks import check_dataset, list_notes
from athanor.data.checks.findings import Finding, Note
from athanor.data.checks.quarantine import Quarantine
from athanor.data.checks.row_checks import Tally
from athanor.data.dataset import Dataset
from athanor.data.snapshots.merge import MergeResult, merge
from athanor.data.snapshots.snapshot import Origin, Snapshot, commit, latest_snapshot
from athanor.data.snapshots.staging import Staged, Staging
from athanor.data.sources.folders.delta import require_readable_path
from athanor.data.sources.raw import Raw, keep_raw, read_record, record_time_range
from athanor.errors import ContractError, DataError, SettingsError
from athanor.home import Home
from athanor.progress import Progress, Unwatched


@dataclass(frozen=True)
class BuildOptions:
    """How a dataset is built.

    Attributes:
        engine: runs the transform and the row rules; see `engine.py`.
        why: reason for the build, for the history.
        as_of: rows with a later event time are rejected; now if not given.
        is_full: whether to read all rows from a source that could read only new ones.
        memory_bytes: how many bytes of accepted rows to hold before spilling to disk.
        quarantine: folder for rejected rows; the home's if not given.
    """

    engine: Engine = pandas_engine
    why: str = "data build"
    as_of: datetime | None = None
    is_full: bool = False
    memory_bytes: int = 512 * 2**20
    quarantine: Path | None = None

    def __post_init__(self) -> None:
        if self.as_of is not None and self.as_of.tzinfo is None:
            raise SettingsError(f"as_of {self.as_of} has no time zone; add one")


_DEFAULTS: Final = BuildOptions()


@dataclass(frozen=True)
class StagedBuild:
    """A build after all checks, staged and not committed.

    Attributes:
        findings: all findings; those that refuse the dataset first.
        notes: checks that are left out, and rows that are equal.
        quarantine: file of rejected rows, None if there are none.
        based_on: the snapshot that rows were carried over from.
    """

    raw: Raw
    staged: Staged
    origin: Origin
    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]
    quarantine: Path | None
    based_on: Snapshot | None

    @property
    def is_refused(self) -> bool:
        return any(finding.refuses for finding in self.findings)

    def raise_if_refused(self) -> None:
        """Raises DataError with all findings if the dataset is refused."""
        if not self.is_refused:
            return
        lines = [f"  - {finding}" for finding in self.findings if finding.refuses]
        where = [f"  the rejected rows are in {self.quarantine}"] if self.quarantine else []
        raise DataError("\n".join([f"{self.staged.contract.name}: nothing was committed", *lines, *where]))


@dataclass(frozen=True)
class BuildResult:
    """A snapshot, and how it was built.

    Attributes:
        is_new: whether it is a new version; unchanged data makes none.
        is_raw_new: whether the raw input was not stored before.
        findings: rules broken by rows that were quarantined within the budget.
        notes: checks that were left out, and rows that are equal.
        quarantine: file of those rows, None if there are none.
    """

    snapshot: Snapshot
    is_new: bool
    is_raw_new: bool
    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]
    quarantine: Path | None


def build_snapshot(
    contract: Contract,
    dataset: Dataset,
    home: Home,
    progress: Progress | None = None,
    options: BuildOptions = _DEFAULTS,
) -> BuildResult:
    """Ingests, transforms, validates and commits a project's data.

    Raises:
        DataError: the data breaks the contract; nothing was committed, and the rejected rows are in quarantine.
        ContractError: the source is incremental, and the contract has no event time or no key.
        NotFoundError: raw input does not exist.
        ConflictError: another process committed a version meanwhile; nothing was committed.
    """
    progress = progress or Unwatched()
    with stage_build(contract, dataset, home, progress, options) as staged:
        staged.raise_if_refused()
        with progress.step("Commit the snapshot") as advance:
            snapshot, is_new = commit(home.datasets, staged.staged, staged.origin, staged.based_on)
            advance(f"version {snapshot.version}, {'new' if is_new else 'unchanged'}")
    return BuildResult(snapshot, is_new, staged.raw.is_new, staged.findings, staged.notes, staged.quarantine)


@contextmanager
def stage_build(
    contract: Contract, dataset: Dataset, home: Home, progress: Progress, options: BuildOptions = _DEFAULTS
) -> Iterator[StagedBuild]:
    """Runs `build_snapshot` up to the commit. Leaving the context deletes the staged files, unless committed."""
    # Before anything is read: the commit would refuse it.
    require_readable_path(home.datasets / contract.name)
    if dataset.is_incremental and not options.is_full:
        _require_mergeable(contract, dataset)
    parent = _find_parent(contract, dataset, home, options)
    with progress.step("Ingest raw tables") as advance:
        raw = keep_raw(dataset.sources, home.raw / contract.name, _since(parent))
        if parent and not _joins_the_same(dataset, raw, home.raw / contract.name, parent):
            # Carried rows were joined with the old tables: read all rows again.
            parent = None
            raw = keep_raw(dataset.sources, home.raw / contract.name)
        advance(f"{'new' if raw.is_new else 'unchanged'}, digest {raw.digest[:12]}")
    with (
        Staging(contract, home.datasets / contract.name, options.memory_bytes) as staging,
        Quarantine(options.quarantine or home.quarantine / contract.name) as quarantine,
    ):
        reading = options.engine(Job(contract, dataset, options.as_of or datetime.now(UTC)), raw)
        read = _take_batches(reading, staging, quarantine, progress, is_full=parent is None)
        merged = _merge(contract, home, parent, read, staging, progress)
        with progress.step("Sort, digest and write", staging.rows) as advance:
            staged = staging.stage(advance)
        with closing(staged):
            for repeated in (*merged.repeated, *staged.repeated):
                quarantine.add(read.tally.reject_repeated(contract, repeated))
            findings = [*read.tally.findings(contract), *check_dataset(dataset, staged)]
            rejected = quarantine.keep(raw.digest, contract.fingerprint)
            if staged.read_range:
                record_time_range(raw, *map(_to_datetime, staged.read_range))
            origin = Origin(read.rows, raw.digest, options.why, read.rejected, merged.carried, merged.changes)
            refusing_first = tuple(sorted(findings, key=lambda finding: not finding.refuses))
            yield StagedBuild(raw, staged, origin, refusing_first, tuple(list_notes(staged)), rejected, parent)


def _take_batches(
    reading: Reading, staging: Staging, quarantine: Quarantine, progress: Progress, is_full: bool
) -> "_Read":
    """Consumes every batch; stages accepted rows, or holds them for the merge with a parent."""
    read = _Read()
    with progress.step("Transform and validate", reading.size) as advance:
        for batch in reading.batches:
            read.add(batch)
            quarantine.add(batch.validated.rejected)
            if is_full:
                staging.add(batch.validated.kept)
            else:
                read.kept.append(batch.validated.kept)
            advance(f"{read.rows:,} rows, {read.tally.rejected.total():,} set aside", batch.amount)
    return read


def _require_mergeable(contract: Contract, dataset: Dataset) -> None:
    """Raises ContractError if new rows of an incremental source cannot be told from rows that it gave before."""
    lacking = [role for role, has in (("EVENT_TIME", contract.event_time), ("KEY", contract.key)) if not has]
    if lacking:
        names = " and none with ".join(f"ROLE_{role}" for role in lacking)
        raise ContractError(
            f"{contract.name}: source {dataset.main} is incremental, but the contract has no column with {names}: an "
            "ingest starts at the last event time, and a row replaces the row with its key. Give columns these roles, "
            "or read all rows each time: build with --full, or remove `since` from the source"
        )


def _find_parent(contract: Contract, dataset: Dataset, home: Home, options: BuildOptions) -> Snapshot | None:
    """The snapshot that an incremental ingest updates; None to read all rows.

    Rows that were checked against a different contract, or by other budgets, are read again.
    """
    if not dataset.is_incremental or options.is_full:
        return None
    latest = latest_snapshot(contract.name, home.datasets)
    checked_by = (contract.fingerprint, contract.budgets_digest)
    return latest if latest and (latest.contract, latest.budgets) == checked_by else None


def _joins_the_same(dataset: Dataset, raw: Raw, folder: Path, parent: Snapshot) -> bool:
    """Whether all raw tables except the main one are the same as the parent's."""
    before, after = (
        {name: file for name, file in read_record(folder, digest).files.items() if name.split("/")[0] != dataset.main}
        for digest in (parent.raw, raw.digest)
    )
    return before == after


def _to_datetime(moment: np.datetime64) -> datetime:
    return datetime.fromisoformat(f"{moment}Z")


def _since(parent: Snapshot | None) -> datetime | None:
    return datetime.fromisoformat(parent.last_event) if parent else None


@dataclass
class _Read:
    """What was read so far.

    Attributes:
        kept: accepted rows to merge with the parent's.
    """

    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    kept: list[pa.Table] = field(default_factory=list)

    def add(self, batch: ProcessedBatch) -> None:
        self.rows += batch.rows_in
        self.left_out.update(batch.left_out)
        self.tally.add(batch.validated.tally)

    @property
    def rejected(self) -> dict[str, int]:
        """Number of rows that are not in the snapshot, by reason."""
        return dict(self.left_out + self.tally.rejected)


def _merge(
    contract: Contract, home: Home, parent: Snapshot | None, read: _Read, staging: Staging, progress: Progress
) -> MergeResult:
    if parent is None:
        return MergeResult()
    with progress.step(f"Merge with version {parent.version}", parent.rows_out) as advance:
        return merge(contract, home.datasets, parent, read.kept, staging, advance)
