"""Retention: what goes, and above all what stays."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from deltalake import DeltaTable
from support.flights import make_columns
from support.snapshots import commit_columns

from athanor.data.snapshots.snapshot import Snapshot, file_names, is_whole, list_snapshots, read_snapshot, restore
from athanor.data.snapshots.vacuum import VacuumResult, vacuum
from athanor.errors import DataError, NotFoundError
from projects.delays.model import MODEL

_CONTRACT: Final = MODEL.contract
_NAME: Final = _CONTRACT.name
_MONTH: Final = timedelta(days=30)
_NONE: Final = timedelta(0)


def _commit(folder: Path, count: int) -> list[Snapshot]:
    """So many versions, oldest first."""
    return [commit_columns(_CONTRACT, make_columns(30 + number), folder)[0] for number in range(count)]


def _age(folder: Path, age: timedelta) -> None:
    """Lets all that happened so far have happened so much earlier: in the log, and on disk."""
    for log in (folder / _NAME / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for action in actions:
            if "remove" in action:
                action["remove"]["deletionTimestamp"] -= int(age / timedelta(milliseconds=1))
        log.write_text("".join(f"{json.dumps(action)}\n" for action in actions))
    for path in (folder / _NAME).glob("*.parquet"):
        _age_file(path, age)


def _age_file(path: Path, age: timedelta) -> None:
    moment = path.stat().st_mtime - age.total_seconds()
    os.utime(path, (moment, moment))


def _orphan(folder: Path, name: str, age: timedelta) -> Path:
    """A file that a killed process left so long ago."""
    path = folder / _NAME / f"part-{name}.parquet"
    path.write_bytes(b"half")
    _age_file(path, age)
    return path


def _whole(folder: Path) -> list[int]:
    return [snapshot.version for snapshot in list_snapshots(_NAME, folder) if is_whole(folder, snapshot)]


def _file_of(folder: Path, version: int) -> Path:
    (name,) = file_names(DeltaTable(folder / _NAME, version=version))
    return folder / _NAME / name


def test_versions_that_were_superseded_long_ago_go_and_the_latest_stays(tmp_path: Path) -> None:
    snapshots = _commit(tmp_path, 3)
    _age(tmp_path, timedelta(days=31))
    sizes = [_file_of(tmp_path, version).stat().st_size for version in (0, 1)]
    assert vacuum(_NAME, tmp_path, _MONTH, named=()) == VacuumResult((1, 0), (), files=2, bytes=sum(sizes))
    assert _whole(tmp_path) == [2]
    assert len(read_snapshot(_CONTRACT, tmp_path, snapshots[2])["carrier"]) == 32


def test_the_latest_stays_whatever_is_asked(tmp_path: Path) -> None:
    _commit(tmp_path, 1)
    _age(tmp_path, timedelta(days=1_000))
    assert vacuum(_NAME, tmp_path, _NONE, named=()) == VacuumResult((), (), files=0, bytes=0)
    assert _whole(tmp_path) == [0]


@pytest.mark.parametrize("age", [timedelta(days=29), timedelta(days=29, hours=23)])
def test_versions_that_were_superseded_a_while_ago_stay(tmp_path: Path, age: timedelta) -> None:
    _commit(tmp_path, 3)
    _age(tmp_path, age)
    assert vacuum(_NAME, tmp_path, _MONTH, named=()).versions == ()
    assert _whole(tmp_path) == [2, 1, 0]


def test_it_counts_from_when_a_version_was_superseded_not_from_when_it_was_made(tmp_path: Path) -> None:
    _commit(tmp_path, 2)
    _age(tmp_path, timedelta(days=1_000))
    commit_columns(_CONTRACT, make_columns(50), tmp_path)
    assert vacuum(_NAME, tmp_path, _MONTH, named=()).versions == (0,)
    assert _whole(tmp_path) == [2, 1]


def test_it_never_takes_hours_for_less_than_they_are(tmp_path: Path) -> None:
    """Delta counts in whole hours."""
    _commit(tmp_path, 2)
    _age(tmp_path, timedelta(minutes=20))
    assert vacuum(_NAME, tmp_path, timedelta(minutes=30), named=()).versions == ()
    _age(tmp_path, timedelta(minutes=50))
    assert vacuum(_NAME, tmp_path, timedelta(minutes=30), named=()).versions == (0,)


def test_a_checkpoint_of_the_log_does_not_forget_when_versions_were_superseded(tmp_path: Path) -> None:
    _commit(tmp_path, 3)
    _age(tmp_path, timedelta(days=20))
    DeltaTable(tmp_path / _NAME).create_checkpoint()
    assert vacuum(_NAME, tmp_path, _MONTH, named=()) == VacuumResult((), (), files=0, bytes=0)
    assert vacuum(_NAME, tmp_path, timedelta(days=10), named=()).versions == (1, 0)


def test_a_named_version_is_kept_and_reported(tmp_path: Path) -> None:
    snapshots = _commit(tmp_path, 4)
    _age(tmp_path, timedelta(days=31))
    done = vacuum(_NAME, tmp_path, _MONTH, named={1, 3, 7})
    assert (done.versions, done.kept, done.files) == ((2, 0), (1,), 2)
    assert len(read_snapshot(_CONTRACT, tmp_path, snapshots[1])["carrier"]) == 31
    assert _whole(tmp_path) == [3, 1]


def test_a_named_version_that_would_stay_anyway_is_not_reported(tmp_path: Path) -> None:
    _commit(tmp_path, 3)
    assert vacuum(_NAME, tmp_path, _MONTH, named={0, 2}).kept == ()


def test_a_dry_run_reports_the_same_and_deletes_nothing(tmp_path: Path) -> None:
    _commit(tmp_path, 4)
    _age(tmp_path, timedelta(days=31))
    orphan = _orphan(tmp_path, "orphan", timedelta(days=31))
    before = sorted((tmp_path / _NAME).rglob("*"))
    told = vacuum(_NAME, tmp_path, _MONTH, named={1}, dry_run=True)
    assert sorted((tmp_path / _NAME).rglob("*")) == before
    assert _whole(tmp_path) == [3, 2, 1, 0]
    assert vacuum(_NAME, tmp_path, _MONTH, named={1}) == told
    assert (told.files, orphan.exists()) == (3, False)


def test_the_history_is_kept(tmp_path: Path) -> None:
    _commit(tmp_path, 3)
    before = list_snapshots(_NAME, tmp_path)
    vacuum(_NAME, tmp_path, _NONE, named=())
    assert list_snapshots(_NAME, tmp_path) == before


def test_reading_or_restoring_a_version_without_files_raises(tmp_path: Path) -> None:
    snapshots = _commit(tmp_path, 2)
    vacuum(_NAME, tmp_path, _NONE, named=())
    with pytest.raises(DataError, match="snapshot 0 of delays were vacuumed; use another version"):
        read_snapshot(_CONTRACT, tmp_path, snapshots[0])
    with pytest.raises(DataError, match="snapshot 0 of delays were vacuumed; it cannot be restored"):
        restore(_NAME, tmp_path, 0, why="?")


def test_vacuumed_versions_are_not_reported_again(tmp_path: Path) -> None:
    _commit(tmp_path, 3)
    assert vacuum(_NAME, tmp_path, _NONE, named=()).versions == (1, 0)
    assert vacuum(_NAME, tmp_path, _NONE, named=()) == VacuumResult((), (), files=0, bytes=0)


def test_the_next_version_comes_after_a_vacuum_as_ever(tmp_path: Path) -> None:
    snapshots = _commit(tmp_path, 2)
    vacuum(_NAME, tmp_path, _NONE, named=())
    latest, is_new = commit_columns(_CONTRACT, make_columns(50), tmp_path)
    assert (latest.parent, is_new) == (snapshots[1].version, True)
    assert len(read_snapshot(_CONTRACT, tmp_path, latest)["carrier"]) == 50


@pytest.mark.parametrize("keep", [_NONE, timedelta(days=365)])
def test_files_of_no_version_go_after_a_day_however_long_versions_are_kept(tmp_path: Path, keep: timedelta) -> None:
    """A younger one may be of a process that is about to commit."""
    _commit(tmp_path, 1)
    old = _orphan(tmp_path, "old", timedelta(hours=25))
    young = _orphan(tmp_path, "young", timedelta(hours=23))
    assert vacuum(_NAME, tmp_path, keep, named=()) == VacuumResult((), (), files=1, bytes=4)
    assert (old.exists(), young.exists()) == (False, True)
    assert _whole(tmp_path) == [0]


def test_files_that_a_restored_version_shares_stay(tmp_path: Path) -> None:
    snapshots = _commit(tmp_path, 3)
    restored = restore(_NAME, tmp_path, 0, why="the others were wrong")
    _age(tmp_path, timedelta(days=31))
    assert vacuum(_NAME, tmp_path, _MONTH, named=()).versions == (2, 1)
    assert _whole(tmp_path) == [3, 0]
    for snapshot in (snapshots[0], restored):
        assert len(read_snapshot(_CONTRACT, tmp_path, snapshot)["carrier"]) == 30


def test_files_that_a_named_version_shares_with_others_stay(tmp_path: Path) -> None:
    """Version 2 is version 0 again, and superseded as well; version 3 is the latest."""
    _commit(tmp_path, 2)
    restore(_NAME, tmp_path, 0, why="1 was wrong")
    commit_columns(_CONTRACT, make_columns(50), tmp_path)
    _age(tmp_path, timedelta(days=31))
    done = vacuum(_NAME, tmp_path, _MONTH, named={2})
    assert (done.versions, done.kept) == ((1,), (2, 0))
    assert _whole(tmp_path) == [3, 2, 0]


def test_a_version_written_by_another_tool_does_not_remove_a_snapshot(tmp_path: Path) -> None:
    """Deleting rows supersedes the files of the latest snapshot by a version that is not a snapshot."""
    _commit(tmp_path, 2)
    assert DeltaTable(tmp_path / _NAME).delete("carrier = 'AA'")["num_removed_files"] == 1
    _age(tmp_path, timedelta(days=31))
    assert vacuum(_NAME, tmp_path, _MONTH, named=()).versions == (0,)
    assert _whole(tmp_path) == [1]


def test_a_dataset_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="of delays; there are: none"):
        vacuum(_NAME, tmp_path, _NONE, named=())
