"""From a source to a snapshot."""

from dataclasses import replace

from athanor.contract.contract import Contract
from athanor.data.snapshot import Snapshot, commit
from athanor.data.source import Source, keep_raw
from athanor.data.tables import from_frame
from athanor.data.validation import accept
from athanor.home import Home
from athanor.progress import Progress, Unwatched


def build_snapshot(
    contract: Contract, source: Source, home: Home, progress: Progress | None = None
) -> tuple[Snapshot, bool]:
    """Ingests, transforms, validates and commits a project's data.

    Returns:
        The snapshot, and whether it is new; unchanged data makes no second version.

    Raises:
        DataError: the data does not keep the contract; nothing was committed.
        NotFoundError: a raw file is not there.
    """
    progress = progress or Unwatched()
    with progress.step("Ingest raw tables") as advance:
        raw = keep_raw(source.find(), home.raw / contract.name)
        advance(f"{len(raw.files)} files, digest {raw.digest[:12]}")
    with progress.step("Clean and join") as advance:
        transformed = source.transform(raw.files)
        values = from_frame(contract.dataset_columns, transformed.frame)
        advance(f"{len(transformed.frame):,} of {transformed.rows_in:,} rows")
    with progress.step("Validate against the contract") as advance:
        accepted = accept(contract, values)
        advance(f"{sum(accepted.rejected.values()):,} rows set aside")
    with progress.step("Commit the snapshot") as advance:
        accounted = replace(accepted, rejected={**transformed.left_out, **accepted.rejected})
        snapshot, is_new = commit(contract, accounted, home.datasets, transformed.rows_in, raw.digest)
        advance(f"version {snapshot.version}, {'new' if is_new else 'unchanged'}")
    return snapshot, is_new
