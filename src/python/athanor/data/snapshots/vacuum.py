"""Retention: deletes the files of old versions."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from deltalake import DeltaTable

from athanor.data.snapshots.snapshot import file_names, find_snapshot, list_snapshots
from athanor.system.durability import sync

# A file without a version may belong to a running commit; after a day its process was killed.
_LEAST_AGE_OF_ORPHANS = timedelta(days=1)


@dataclass(frozen=True)
class VacuumResult:
    """What a vacuum deleted, or would delete.

    Attributes:
        versions: versions that can no longer be read.
        kept: versions old enough to go but kept because they are named.
        files: number of files deleted.
        bytes: their total size.
    """

    versions: tuple[int, ...]
    kept: tuple[int, ...]
    files: int
    bytes: int


def vacuum(dataset: str, folder: Path, keep: timedelta, named: Collection[int], dry_run: bool = False) -> VacuumResult:
    """Deletes the files of versions superseded more than `keep` ago, and files that belong to no version.

    Keeps the latest version, every version in `named`, and the history of all versions.

    Raises:
        NotFoundError: there is no such dataset.
    """
    find_snapshot(dataset, folder)
    files = dict(_readable_versions(dataset, folder))
    latest = list(files)[:1]
    stay = sorted({*latest, *named} & set(files))
    superseded = _find(dataset, folder, keep, stay)
    by_age = _find(dataset, folder, keep, latest)
    versions = tuple(version for version, names in files.items() if names & superseded)
    left = [version for version in files if version not in versions]
    gone = superseded | _find(dataset, folder, _LEAST_AGE_OF_ORPHANS, left, full=True)
    paths = [path for path in (folder / dataset / name for name in gone) if path.exists()]
    sizes = [path.stat().st_size for path in paths]
    if not dry_run:
        # deltalake would first write to its log, for which a full disk has no space.
        for path in paths:
            path.unlink(missing_ok=True)
        sync(folder / dataset)
    kept = tuple(version for version in left if files[version] & by_age)
    return VacuumResult(versions, kept, len(sizes), sum(sizes))


def _readable_versions(dataset: str, folder: Path) -> Iterator[tuple[int, set[str]]]:
    """Readable versions, newest first, with the names of their files."""
    for snapshot in list_snapshots(dataset, folder):
        names = file_names(DeltaTable(folder / dataset, version=snapshot.version))
        if all((folder / dataset / name).exists() for name in names):
            yield snapshot.version, set(names)


def _find(dataset: str, folder: Path, age: timedelta, stay: list[int], full: bool = False) -> set[str]:
    """Names of files superseded at least `age` ago, with `full` also of orphans of that age."""
    hours = math.ceil(age / timedelta(hours=1))
    table = DeltaTable(folder / dataset)
    return set(table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=full, keep_versions=stay))
