"""Processes that are killed while they commit: what they leave is no version, and every version stays whole."""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from deltalake import DeltaTable
from support.committers import BEGUN, COMMITTED, FORKS, STAGED, commit_flights, start
from support.flights import make_columns
from support.snapshots import commit_columns

from athanor.data.snapshots.snapshot import Snapshot, file_names, list_snapshots, read_snapshot
from athanor.data.snapshots.vacuum import vacuum
from projects.delays.model import MODEL

_CONTRACT: Final = MODEL.contract
_NAME: Final = _CONTRACT.name
_ROWS: Final = 5_000
_KILLS: Final = 60
_KILLS_A_TABLE: Final = 20
_KILLS_OF_FIRST: Final = 20
_NOTHING: Final = "no file"


def _moments(kills: int) -> Iterator[tuple[str, float]]:
    """Phases, and how long after each to kill, as a share of what is left then: spread over all, and a bit beyond."""
    shares = np.random.default_rng(0).permutation(np.linspace(0, 1.3, kills))
    for number, share in enumerate(shares.tolist()):
        yield (BEGUN, STAGED)[number % 2], share


def _measure(folder: Path, seed: int) -> dict[str, float]:
    """How long a process takes from a phase to its end, in seconds, when it is not killed."""
    here, there = FORKS.Pipe(duplex=False)
    process = start(commit_flights, folder, _ROWS, seed, there)
    moments = {here.recv(): time.perf_counter() for _ in (BEGUN, STAGED, COMMITTED)}
    process.join()
    return {phase: moments[COMMITTED] - moments[phase] for phase in (BEGUN, STAGED)}


def _kill(folder: Path, seed: int, phase: str, delay_s: float) -> str:
    """Lets a process commit and kills it a while after a phase; returns how far it came."""
    before = _files(folder)
    here, there = FORKS.Pipe(duplex=False)
    process = start(commit_flights, folder, _ROWS, seed, there)
    while here.recv() != phase:
        pass
    time.sleep(delay_s)
    process.kill()
    process.join()
    if str(seed) in [snapshot.raw for snapshot in list_snapshots(_NAME, folder)[:1]]:
        return COMMITTED
    return STAGED if _files(folder) - before else _NOTHING


def _files(folder: Path) -> set[str]:
    return {path.name for path in (folder / _NAME).glob("*.parquet")}


def _check_versions(folder: Path) -> list[Snapshot]:
    """That none is lost or there twice, and that the last two are whole; returns all."""
    snapshots = list_snapshots(_NAME, folder)
    assert [snapshot.version for snapshot in snapshots] == list(range(len(snapshots)))[::-1]
    _check_whole(folder, snapshots[:2])
    return snapshots


def _check_whole(folder: Path, snapshots: Sequence[Snapshot]) -> None:
    """Reading compares the digest."""
    for snapshot in snapshots:
        assert len(read_snapshot(_CONTRACT, folder, snapshot)["carrier"]) == snapshot.rows_out


def _check_next(folder: Path, rows: int, version: int) -> None:
    """A process commits after a killed one as if the latter had never run."""
    snapshot, is_new = commit_columns(_CONTRACT, make_columns(rows), folder)
    assert (snapshot.version, is_new) == (version, True)


def test_a_process_killed_at_any_moment_of_a_commit_leaves_every_version_whole(tmp_path: Path) -> None:
    folders = [tmp_path / str(number // _KILLS_A_TABLE) for number in range(_KILLS)]
    reached: Counter[str] = Counter()
    left_s: dict[str, float] = {}
    for number, (folder, (phase, share)) in enumerate(zip(folders, _moments(_KILLS), strict=True)):
        if not folder.exists():
            commit_columns(_CONTRACT, make_columns(30), folder)
        # The table grows, and the machine has other work: what a commit takes does not stay the same.
        if number % 10 == 0:
            left_s = _measure(folder, seed=1_000 + number)
        reached[_kill(folder, number, phase, share * left_s[phase])] += 1
        snapshots = _check_versions(folder)
        _check_next(folder, rows=31 + number, version=len(snapshots))
    assert set(reached) == {_NOTHING, STAGED, COMMITTED}, reached
    for folder in set(folders):
        _check_whole(folder, list_snapshots(_NAME, folder))
        _check_what_is_left_can_be_removed(folder)


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
    left_s = _measure(tmp_path / "measured", seed=0)
    reached: Counter[str] = Counter()
    for number, (phase, share) in enumerate(_moments(_KILLS_OF_FIRST)):
        folder = tmp_path / str(number)
        reached[_kill(folder, number, phase, share * left_s[phase])] += 1
        snapshots = _check_versions(folder)
        assert len(snapshots) <= 1
        _check_next(folder, rows=30, version=len(snapshots))
    assert len(reached) > 1, reached


@pytest.mark.parametrize("content", ["", '{"commitInfo":{"timest'])
def test_a_half_written_line_of_the_log_is_no_version(tmp_path: Path, content: str) -> None:
    """Delta writes it under such a name and gives it the right one when it is whole: a moment that is hard to hit."""
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
