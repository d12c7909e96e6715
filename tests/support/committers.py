"""Commits of flights in processes of their own, to race and to kill."""

import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

from support.flights import make_columns
from support.forks import FORKS
from support.killed import STEP, die_beyond
from support.snapshots import commit_columns, stage_columns

from athanor.data.snapshots.snapshot import Origin, Snapshot, commit, restore
from athanor.data.snapshots.staging import Staged
from athanor.errors import ConflictError
from projects.delays.model import MODEL

STAGING: Final = "staging"
COMMITTING: Final = "committing"
_CONTRACT: Final = MODEL.contract
# Far more than any wait takes: after a process has died, the others fail instead of waiting forever.
_PATIENCE_S: Final = 120.0
FORKS.set_forkserver_preload([__name__])


def commit_flights(folder: Path, rows: int, seed: int, limit: tuple[str, int] | None = None) -> None:
    """Commits flights whose raw digest is their seed.

    Args:
        limit: a phase, and the size from then on at which a write kills the process; see `die_beyond`.
    """
    columns = make_columns(rows, seed)
    _enter(STAGING, limit)
    staged = stage_columns(_CONTRACT, columns, folder)
    _enter(COMMITTING, limit)
    commit(folder, staged, Origin(rows, str(seed), "to be killed"))


def _enter(phase: str, limit: tuple[str, int] | None) -> None:
    sys.audit(STEP, phase)
    if limit and limit[0] == phase:
        die_beyond(limit[1])


def race(folders: Sequence[Path], rows: int, seed: int, barrier: Barrier, answers: Connection) -> None:
    """Commits flights to each folder, each time together with all others at the barrier.

    Sends the snapshot of each round, or None after a conflict. In the first round all but one conflict for certain.
    """
    for round_, folder in enumerate(folders):
        staged = stage_columns(_CONTRACT, make_columns(rows, seed + round_), folder)
        if round_ == 0:
            _meet_in_the_middle(staged, barrier)
        barrier.wait(_PATIENCE_S)
        answers.send(_unless_conflict(commit, folder, staged, Origin(rows, str(seed + round_), "a race")))
        barrier.wait(_PATIENCE_S)


def race_to_restore(folders: Sequence[Path], version: int, barrier: Barrier, answers: Connection) -> None:
    """As `race`, with restored versions instead of new rows; the first conflicts with the others for certain."""
    for round_, folder in enumerate(folders):
        barrier.wait(_PATIENCE_S)
        answers.send(_unless_conflict(restore, _CONTRACT.name, folder, version, "a race"))
        if round_ == 0:
            barrier.wait(_PATIENCE_S)
        barrier.wait(_PATIENCE_S)


def commit_all(folder: Path, rows: int, seeds: Sequence[int], barrier: Barrier, answers: Connection) -> None:
    """Commits flights for each seed, retrying after conflicts; sends the number of conflicts.

    The first commits meet at the barrier, so that all but one conflict.
    """
    staged = stage_columns(_CONTRACT, make_columns(rows, seeds[0]), folder)
    _meet_in_the_middle(staged, barrier)
    is_first_done = _unless_conflict(commit, folder, staged, Origin(rows, str(seeds[0]), "a race")) is not None
    conflicts = 0 if is_first_done else 1
    for seed in seeds[is_first_done:]:
        while _unless_conflict(commit_columns, _CONTRACT, make_columns(rows, seed), folder, raw=str(seed)) is None:
            conflicts += 1
    answers.send(conflicts)


def _meet_in_the_middle(staged: Staged, barrier: Barrier) -> None:
    """Lets a commit wait for the others after it has read the latest version and before it writes the next."""
    sync = staged.sync

    def meet_and_sync() -> None:
        barrier.wait(_PATIENCE_S)
        sync()

    vars(staged)["sync"] = meet_and_sync


def _unless_conflict(write: Callable[..., Any], *arguments: Any, **named: Any) -> Snapshot | None:
    try:
        written = write(*arguments, **named)
    except ConflictError:
        return None
    snapshot: Snapshot = written[0] if isinstance(written, tuple) else written
    return snapshot
