"""From raw tables to a snapshot."""

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
from athanor.data.checks.dataset_checks import check_dataset
from athanor.data.checks.findings import Finding
from athanor.data.checks.quarantine import Quarantine
from athanor.data.checks.row_checks import Tally
from athanor.data.dataset import Dataset
from athanor.data.snapshots.merge import MergeResult, merge
from athanor.data.snapshots.snapshot import Origin, Snapshot, commit, latest_snapshot
from athanor.data.snapshots.staging import Staged, Staging
from athanor.data.sources.raw import Raw, keep_raw, read_record, record_time_range
from athanor.errors import DataError, SettingsError
from athanor.home import Home
from athanor.progress import Progress, Unwatched


@dataclass(frozen=True)
class BuildOptions:
    """How a dataset is built.

    Attributes:
        engine: what runs the transform and the row rules; see `engine.py`.
        why: why it is built, for the history.
        as_of: an event after it has not happened; the present when not given.
        is_full: all rows are read, where a source could read only what is new.
        memory_bytes: how much of the accepted rows is held before it goes to disk.
        quarantine: folder for rejected rows; that of the home when not given.
    """

    engine: Engine = pandas_engine
    why: str = "data build"
    as_of: datetime | None = None
    is_full: bool = False
    memory_bytes: int = 512 * 2**20
    quarantine: Path | None = None

    def __post_init__(self) -> None:
        if self.as_of is not None and self.as_of.tzinfo is None:
            raise SettingsError(f"as_of {self.as_of} has no time zone; give an instant")


_DEFAULTS: Final = BuildOptions()


@dataclass(frozen=True)
class StagedBuild:
    """Raw input after all checks, staged and not committed.

    Attributes:
        findings: everything that is wrong; those that refuse first.
        quarantine: where the rejected rows are, None where there are none.
        based_on: the snapshot whose rows were carried over.
    """

    raw: Raw
    staged: Staged
    origin: Origin
    findings: tuple[Finding, ...]
    quarantine: Path | None
    based_on: Snapshot | None

    @property
    def is_refused(self) -> bool:
        return any(finding.refuses for finding in self.findings)

    def raise_if_refused(self) -> None:
        """Raises DataError, naming everything, when the dataset is refused."""
        if not self.is_refused:
            return
        lines = [f"  - {finding}" for finding in self.findings if finding.refuses]
        where = [f"  the rejected rows are in {self.quarantine}"] if self.quarantine else []
        raise DataError("\n".join([f"{self.staged.contract.name}: nothing was committed", *lines, *where]))


@dataclass(frozen=True)
class BuildResult:
    """A snapshot, and how it came about.

    Attributes:
        is_new: whether it is a new version; unchanged data makes none.
        is_raw_new: whether the raw input was not there already.
        findings: rows that were set aside within the budget.
        quarantine: where they are, None where there are none.
    """

    snapshot: Snapshot
    is_new: bool
    is_raw_new: bool
    findings: tuple[Finding, ...]
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
        DataError: the data does not keep the contract; nothing was committed, and what was rejected is in quarantine.
        NotFoundError: raw input is not there.
        ConflictError: somebody else committed a version meanwhile; nothing was committed.
    """
    progress = progress or Unwatched()
    with stage_build(contract, dataset, home, progress, options) as staged:
        staged.raise_if_refused()
        with progress.step("Commit the snapshot") as advance:
            snapshot, is_new = commit(home.datasets, staged.staged, staged.origin, staged.based_on)
            advance(f"version {snapshot.version}, {'new' if is_new else 'unchanged'}")
    return BuildResult(snapshot, is_new, staged.raw.is_new, staged.findings, staged.quarantine)


@contextmanager
def stage_build(
    contract: Contract, dataset: Dataset, home: Home, progress: Progress, options: BuildOptions = _DEFAULTS
) -> Iterator[StagedBuild]:
    """Does all that `build_snapshot` does but for verdict and commit. What is not committed within goes away."""
    parent = _find_parent(contract, dataset, home, options)
    with progress.step("Ingest raw tables") as advance:
        raw = keep_raw(dataset.sources, home.raw / contract.name, _since(parent))
        if parent and not _joins_the_same(dataset, raw, home.raw / contract.name, parent):
            # Rows that were carried over would not know of what they are joined with now.
            parent = None
            raw = keep_raw(dataset.sources, home.raw / contract.name)
        advance(f"{'new' if raw.is_new else 'unchanged'}, digest {raw.digest[:12]}")
    with (
        Staging(contract, home.datasets / contract.name, options.memory_bytes) as staging,
        Quarantine(options.quarantine or home.quarantine / contract.name) as quarantine,
    ):
        reading = options.engine(Job(contract, dataset, options.as_of or datetime.now(UTC)), raw)
        read = _take_batches(reading, staging, quarantine, progress, is_whole=parent is None)
        merged = _merge(contract, home, parent, read, staging, progress)
        with progress.step("Sort, digest and write", staging.rows) as advance:
            staged = staging.stage(advance)
        with closing(staged):
            for repeated in (*merged.repeated, *staged.repeated):
                quarantine.add(read.tally.reject_repeated(contract, repeated))
            findings = [*read.tally.findings(contract), *check_dataset(dataset, staged)]
            place = quarantine.keep(raw.digest, contract.fingerprint)
            if staged.read_range:
                record_time_range(raw, *map(_to_datetime, staged.read_range))
            origin = Origin(read.rows, raw.digest, options.why, read.rejected, merged.carried, merged.changes)
            by_weight = sorted(findings, key=lambda finding: not finding.refuses)
            yield StagedBuild(raw, staged, origin, tuple(by_weight), place, parent)


def _take_batches(
    reading: Reading, staging: Staging, quarantine: Quarantine, progress: Progress, is_whole: bool
) -> "_Read":
    """Takes every batch; the accepted rows go to the staging, unless they wait for those of a parent."""
    read = _Read()
    with progress.step("Transform and validate", reading.size) as advance:
        for batch in reading.batches:
            read.add(batch)
            quarantine.add(batch.validated.rejected)
            if is_whole:
                staging.add(batch.validated.kept)
            else:
                read.kept.append(batch.validated.kept)
            advance(f"{read.rows:,} rows, {read.tally.rejected.total():,} set aside", batch.amount)
    return read


def _find_parent(contract: Contract, dataset: Dataset, home: Home, options: BuildOptions) -> Snapshot | None:
    """The snapshot whose rows an incremental ingest goes over; None where all rows are to be read.

    Rows that were checked against another contract are read again.
    """
    if not dataset.is_incremental or options.is_full:
        return None
    latest = latest_snapshot(contract.name, home.datasets)
    return latest if latest and latest.contract == contract.fingerprint else None


def _joins_the_same(dataset: Dataset, raw: Raw, folder: Path, parent: Snapshot) -> bool:
    """Whether all raw tables but the main one are those that the parent was made of."""
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
        kept: accepted rows that wait for the parent's.
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
        """All rows that are not in the snapshot, by reason."""
        return dict(self.left_out + self.tally.rejected)


def _merge(
    contract: Contract, home: Home, parent: Snapshot | None, read: _Read, staging: Staging, progress: Progress
) -> MergeResult:
    if parent is None:
        return MergeResult()
    with progress.step(f"Merge with version {parent.version}", parent.rows_out) as advance:
        return merge(contract, home.datasets, parent, read.kept, staging, advance)
