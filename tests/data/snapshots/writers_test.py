"""Processes that write to one dataset at once: each reported commit is there, once and whole, and nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

import pytest
from deltalake import DeltaTable
from support.committers import commit_all, race, race_to_restore
from support.flights import make_columns
from support.forks import FORKS, start
from support.snapshots import commit_columns

from athanor.data.snapshots.snapshot import Snapshot, file_names, list_snapshots, read_snapshot, restore
from athanor.errors import DataError
from projects.delays.model import MODEL

_CONTRACT: Final = MODEL.contract
_NAME: Final = _CONTRACT.name
_ROUNDS: Final = 20
_ROWS: Final = 300
_PATIENCE_S: Final = 120.0


@contextmanager
def _running(*calls: tuple[Any, ...]) -> Iterator[list[Connection]]:
    """Runs a process for each function and its arguments; yields their answers and asserts that all succeed."""
    answers: list[Connection] = []
    processes: list[ForkServerProcess] = []
    for target, *arguments in calls:
        here, there = FORKS.Pipe(duplex=False)
        processes.append(start(target, *arguments, there))
        there.close()
        answers.append(here)
    yield answers
    for process in processes:
        process.join(_PATIENCE_S)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def _receive(answers: Sequence[Connection]) -> list[Any]:
    """The next answer of each."""
    assert all(connection.poll(_PATIENCE_S) for connection in answers)
    return [connection.recv() for connection in answers]


def _race(folders: Sequence[Path], writers: int) -> list[list[Snapshot | None]]:
    """The outcome of each writer in each round."""
    barrier = FORKS.Barrier(writers)
    calls = [(race, folders, _ROWS, 1_000 * (writer + 1), barrier) for writer in range(writers)]
    with _running(*calls) as answers:
        return [_receive(answers) for _ in folders]


def _check_history(folder: Path, committed: Sequence[Snapshot | None]) -> None:
    """Asserts that all reported versions are there, whole and in sequence, and no other file."""
    snapshots = list_snapshots(_NAME, folder)
    reported = [snapshot for snapshot in committed if snapshot is not None]
    assert snapshots == sorted(reported, key=lambda s: s.version, reverse=True)
    assert [s.version for s in snapshots] == list(range(len(snapshots)))[::-1]
    assert [s.parent for s in snapshots] == [*(s.version for s in snapshots[1:]), None]
    names: set[str] = set()
    for snapshot in snapshots:
        assert len(read_snapshot(_CONTRACT, folder, snapshot)["carrier"]) == snapshot.rows_out
        names.update(file_names(DeltaTable(folder / _NAME, version=snapshot.version)))
    assert names == {path.name for path in (folder / _NAME).glob("*.parquet")}


@pytest.mark.parametrize("writers", [2, 4])
def test_each_of_several_concurrent_writers_commits_or_gets_a_conflict(tmp_path: Path, writers: int) -> None:
    first, _ = commit_columns(_CONTRACT, make_columns(_ROWS), tmp_path)
    rounds = _race([tmp_path] * _ROUNDS, writers)
    assert all(any(round_) for round_ in rounds)
    assert any(None in round_ for round_ in rounds), "they never met"
    _check_history(tmp_path, [first, *(answer for round_ in rounds for answer in round_)])


@pytest.mark.parametrize("writers", [2, 4])
def test_each_of_several_writers_of_the_first_version_commits_or_gets_a_conflict(tmp_path: Path, writers: int) -> None:
    folders = [tmp_path / str(number) for number in range(_ROUNDS)]
    rounds = _race(folders, writers)
    assert all(any(round_) for round_ in rounds)
    assert any(None in round_ for round_ in rounds), "they never met"
    for folder, round_ in zip(folders, rounds, strict=True):
        _check_history(folder, round_)


def test_a_writer_can_commit_again_after_a_conflict_and_no_row_is_lost(tmp_path: Path) -> None:
    seeds = [range(100 * writer, 100 * writer + 8) for writer in range(4)]
    barrier = FORKS.Barrier(len(seeds))
    with _running(*((commit_all, tmp_path, _ROWS, of_writer, barrier) for of_writer in seeds)) as answers:
        assert sum(_receive(answers)) > 0, "they never met"
    snapshots = list_snapshots(_NAME, tmp_path)
    assert sorted(int(s.raw) for s in snapshots) == sorted(seed for of_writer in seeds for seed in of_writer)
    _check_history(tmp_path, snapshots)


def test_a_restore_never_overwrites_a_concurrent_commit(tmp_path: Path) -> None:
    before = [commit_columns(_CONTRACT, make_columns(_ROWS, seed), tmp_path)[0] for seed in (1, 2)]
    folders, barrier = [tmp_path] * _ROUNDS, FORKS.Barrier(2)
    with _running((race, folders, _ROWS, 1_000, barrier), (race_to_restore, folders, 0, barrier)) as answers:
        rounds = [_receive(answers) for _ in folders]
    assert any(None in round_ for round_ in rounds), "they never met"
    _check_history(tmp_path, [*before, *(answer for round_ in rounds for answer in round_)])


def test_the_latest_version_cannot_be_restored(tmp_path: Path) -> None:
    """Another process may have restored it first."""
    commit_columns(_CONTRACT, make_columns(_ROWS), tmp_path)
    with pytest.raises(DataError, match="snapshot 0 of delays is already the latest"):
        restore(_NAME, tmp_path, 0, why="?")
