"""Processes killed while they commit leave either no version or a whole one, and every other version stays whole."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from deltalake import DeltaTable
from support.committers import COMMITTING, STAGING, commit_flights
from support.flights import make_columns
from support.forks import start
from support.killed import NEVER, run_until, spread
from support.snapshots import commit_columns

from athanor.data.snapshots.snapshot import Snapshot, file_names, list_snapshots, read_snapshot
from athanor.data.snapshots.vacuum import vacuum
from projects.delays.model import MODEL

_CONTRACT: Final = MODEL.contract
_NAME: Final = _CONTRACT.name
_ROWS: Final = 5_000
_KILLS: Final = 20
_NOTHING: Final = "no file"
_STAGED: Final = "staged"
_COMMITTED: Final = "committed"


def _run_until(step: int, folder: Path, seed: int) -> int:
    """Commits in a process that is killed before a step; returns the number of steps that it reached."""
    reached = run_until(step, folder, commit_flights, folder, _ROWS, seed)
    assert step in (NEVER, reached), "it was done before"
    return reached


def _run_until_size(size: int, folder: Path, seed: int, phase: str) -> None:
    """Commits in a process that dies in the middle of a file, at this size, in a phase."""
    process = start(commit_flights, folder, _ROWS, seed, (phase, size))
    process.join()
    assert process.exitcode == -signal.SIGXFSZ


def _how_far(folder: Path, seed: int, before: set[str]) -> str:
    """How far a killed process came."""
    if str(seed) in [snapshot.raw for snapshot in list_snapshots(_NAME, folder)[:1]]:
        return _COMMITTED
    return _STAGED if _files(folder) - before else _NOTHING


def _files(folder: Path) -> set[str]:
    return {path.name for path in (folder / _NAME).glob("*.parquet")}


def _check_versions(folder: Path) -> list[Snapshot]:
    """Asserts that no version is lost or there twice, and that the last two are whole; returns all."""
    snapshots = list_snapshots(_NAME, folder)
    assert [snapshot.version for snapshot in snapshots] == list(range(len(snapshots)))[::-1]
    _check_whole(folder, snapshots[:2])
    return snapshots


def _check_whole(folder: Path, snapshots: Sequence[Snapshot]) -> None:
    """Reading compares the digest."""
    for snapshot in snapshots:
        assert len(read_snapshot(_CONTRACT, folder, snapshot)["carrier"]) == snapshot.rows_out


def _check_next(folder: Path, rows: int, version: int) -> None:
    """Asserts that a commit after a kill succeeds as if the killed process had never run."""
    snapshot, is_new = commit_columns(_CONTRACT, make_columns(rows), folder)
    assert (snapshot.version, is_new) == (version, True)


def _check_after(kill: Callable[[int], object], folder: Path) -> Counter[str]:
    """Kills a process for each seed, and checks that all is whole and goes on; counts how far the processes came."""
    reached: Counter[str] = Counter()
    for seed in range(_KILLS):
        before = _files(folder)
        kill(seed)
        reached[_how_far(folder, seed, before)] += 1
        snapshots = _check_versions(folder)
        _check_next(folder, rows=31 + seed, version=len(snapshots))
    _check_whole(folder, list_snapshots(_NAME, folder))
    _check_what_is_left_can_be_removed(folder)
    return reached


def test_a_process_killed_at_any_step_of_a_commit_leaves_every_version_whole(tmp_path: Path) -> None:
    commit_columns(_CONTRACT, make_columns(30), tmp_path)
    steps = spread(_run_until(NEVER, tmp_path, seed=1_000), _KILLS)
    reached = _check_after(lambda seed: _run_until(steps[seed], tmp_path, seed), tmp_path)
    assert set(reached) == {_NOTHING, _STAGED, _COMMITTED}, reached


@pytest.mark.parametrize("phase", [STAGING, COMMITTING])
def test_a_process_killed_in_the_middle_of_a_file_leaves_every_version_whole(tmp_path: Path, phase: str) -> None:
    commit_columns(_CONTRACT, make_columns(30), tmp_path)
    commit_flights(tmp_path, _ROWS, seed=1_000)
    files = {STAGING: tmp_path.rglob("*.parquet"), COMMITTING: tmp_path.rglob(f"{1:020}.json")}
    whole = max(path.stat().st_size for path in files[phase])
    sizes = [whole * number // _KILLS for number in range(_KILLS)]
    reached = _check_after(lambda seed: _run_until_size(sizes[seed], tmp_path, seed, phase), tmp_path)
    assert set(reached) == {_STAGED}, reached


def _check_what_is_left_can_be_removed(folder: Path) -> None:
    snapshots = list_snapshots(_NAME, folder)
    tables = [DeltaTable(folder / _NAME, version=snapshot.version) for snapshot in snapshots]
    orphans = _files(folder) - {name for table in tables for name in file_names(table)}
    assert orphans
    long_ago = time.time() - timedelta(days=2).total_seconds()
    for name in orphans:
        os.utime(folder / _NAME / name, (long_ago, long_ago))
    done = vacuum(_NAME, folder, timedelta(days=30), named=())
    assert (done.versions, done.files) == ((), len(orphans))
    assert not orphans & _files(folder)
    done = vacuum(_NAME, folder, timedelta(0), named=())
    assert done.versions == tuple(snapshot.version for snapshot in snapshots[1:])
    assert len(_files(folder)) == 1
    _check_whole(folder, snapshots[:1])


def test_a_process_killed_at_any_moment_of_the_first_commit_leaves_a_version_or_none(tmp_path: Path) -> None:
    steps = _run_until(NEVER, tmp_path / "whole", seed=0)
    reached: Counter[str] = Counter()
    for number, step in enumerate(spread(steps, _KILLS)):
        folder = tmp_path / str(number)
        _run_until(step, folder, seed=number)
        reached[_how_far(folder, number, set())] += 1
        snapshots = _check_versions(folder)
        assert len(snapshots) <= 1
        _check_next(folder, rows=30, version=len(snapshots))
    assert set(reached) == {_NOTHING, _STAGED, _COMMITTED}, reached


@pytest.mark.parametrize("content", ["", '{"commitInfo":{"timest'])
def test_a_half_written_line_of_the_log_is_no_version(tmp_path: Path, content: str) -> None:
    """Delta writes a line under such a name and renames it when it is whole."""
    commit_columns(_CONTRACT, make_columns(30), tmp_path)
    for version in (1, 2):
        (tmp_path / _NAME / "_delta_log" / f"{version:020}.json#1").write_text(content)
        assert len(_check_versions(tmp_path)) == version
        _check_next(tmp_path, rows=30 + version, version=version)
        _check_versions(tmp_path)


@pytest.mark.parametrize("emptied", [1, 2])
def test_lines_of_the_log_that_a_power_failure_emptied_are_no_versions(tmp_path: Path, emptied: int) -> None:
    commit_columns(_CONTRACT, make_columns(30, 0), tmp_path, raw="0")
    before = list_snapshots(_NAME, tmp_path)
    log = tmp_path / _NAME / "_delta_log"
    for version in range(1, emptied + 1):
        (log / f"{version:020}.json").touch()
    assert list_snapshots(_NAME, tmp_path) == before
    after, is_new = commit_columns(_CONTRACT, make_columns(30, 1), tmp_path, raw="1")
    assert (after.version, is_new) == (1, True)
    read_snapshot(_CONTRACT, tmp_path, before[0])
    read_snapshot(_CONTRACT, tmp_path, after)
