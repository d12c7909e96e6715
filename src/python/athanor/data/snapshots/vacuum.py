"""Retention: files of versions that nobody needs any more."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from deltalake import DeltaTable

from athanor.data.snapshots.snapshot import file_names, find_snapshot, list_snapshots

# What no version refers to may be another process' version to be; after a day it is what a killed one left.
_LEAST_AGE_OF_ORPHANS = timedelta(days=1)


@dataclass(frozen=True)
class VacuumResult:
    """What a vacuum removed, or would.

    Attributes:
        versions: those that cannot be read any more.
        kept: those that would have gone by their age, and are named.
        files: how many were removed.
        bytes: how large they were.
    """

    versions: tuple[int, ...]
    kept: tuple[int, ...]
    files: int
    bytes: int


def vacuum(dataset: str, folder: Path, keep: timedelta, named: Collection[int], dry_run: bool = False) -> VacuumResult:
    """Removes the files of versions that were superseded longer ago than `keep`, and those that are no version's.

    The latest version always stays, and so does every version in `named`. The history of all versions stays too.

    Raises:
        NotFoundError: there is no such dataset.
    """
    find_snapshot(dataset, folder)
    files = dict(_whole_versions(dataset, folder))
    latest = list(files)[:1]
    stay = sorted({*latest, *named} & set(files))
    superseded = _remove(dataset, folder, keep, stay, dry_run=True)
    by_age = _remove(dataset, folder, keep, latest, dry_run=True)
    versions = tuple(version for version, names in files.items() if names & superseded)
    left = [version for version in files if version not in versions]
    gone = superseded | _remove(dataset, folder, _LEAST_AGE_OF_ORPHANS, left, dry_run=True, full=True)
    sizes = [path.stat().st_size for path in (folder / dataset / name for name in gone) if path.exists()]
    if not dry_run:
        _remove(dataset, folder, keep, stay)
        _remove(dataset, folder, _LEAST_AGE_OF_ORPHANS, left, full=True)
    kept = tuple(version for version in left if files[version] & by_age)
    return VacuumResult(versions, kept, len(sizes), sum(sizes))


def _whole_versions(dataset: str, folder: Path) -> Iterator[tuple[int, set[str]]]:
    """Versions that can be read, newest first, with the names of their files."""
    for snapshot in list_snapshots(dataset, folder):
        names = file_names(DeltaTable(folder / dataset, version=snapshot.version))
        if all((folder / dataset / name).exists() for name in names):
            yield snapshot.version, set(names)


def _remove(
    dataset: str, folder: Path, age: timedelta, stay: list[int], dry_run: bool = False, full: bool = False
) -> set[str]:
    """Removes files that were superseded so long ago, with `full` those of no version that are so old; names them."""
    hours = math.ceil(age / timedelta(hours=1))
    table = DeltaTable(folder / dataset)
    return set(table.vacuum(hours, dry_run, enforce_retention_duration=False, full=full, keep_versions=stay))
