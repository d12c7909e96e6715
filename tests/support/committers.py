"""Processes that commit flights, to be raced and to be killed.

They are forked off a server that has imported everything and done nothing with it, so that one costs milliseconds.
"""

from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

from support.flights import make_columns
from support.snapshots import commit_columns, stage_columns

from athanor.data.snapshots.snapshot import Origin, Snapshot, commit, restore
from athanor.errors import ConflictError
from projects.delays.model import MODEL

FORKS: Final = get_context("forkserver")
BEGUN: Final = "begun"
STAGED: Final = "staged"
COMMITTED: Final = "committed"
_CONTRACT: Final = MODEL.contract
# Far more than any wait takes: a process that died lets the others fail instead of waiting for ever.
_PATIENCE_S: Final = 60.0


def start(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """A process that runs a function of this module; it ends with its parent at the latest."""
    FORKS.set_forkserver_preload([__name__])
    process = FORKS.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def commit_flights(folder: Path, rows: int, seed: int, phases: Connection) -> None:
    """Commits flights, the raw digest of which is their seed, and says when each phase is behind it."""
    columns = make_columns(rows, seed)
    phases.send(BEGUN)
    staged = stage_columns(_CONTRACT, columns, folder)
    phases.send(STAGED)
    commit(folder, staged, Origin(rows, str(seed), "to be killed"))
    phases.send(COMMITTED)


def race(folders: Sequence[Path], rows: int, seed: int, barrier: Barrier, answers: Connection) -> None:
    """Commits flights to each folder, each time at once with all others at the barrier.

    Sends the snapshot of each round, or None after a conflict.
    """
    for round_, folder in enumerate(folders):
        staged = stage_columns(_CONTRACT, make_columns(rows, seed + round_), folder)
        barrier.wait(_PATIENCE_S)
        answers.send(_unless_conflict(commit, folder, staged, Origin(rows, str(seed + round_), "a race")))
        barrier.wait(_PATIENCE_S)


def race_to_restore(folders: Sequence[Path], version: int, barrier: Barrier, answers: Connection) -> None:
    """As `race`, with restored versions instead of new rows."""
    for folder in folders:
        barrier.wait(_PATIENCE_S)
        answers.send(_unless_conflict(restore, _CONTRACT.name, folder, version, "a race"))
        barrier.wait(_PATIENCE_S)


def commit_all(folder: Path, rows: int, seeds: Sequence[int], barrier: Barrier, answers: Connection) -> None:
    """Commits flights for each seed, retrying after conflicts; sends the number of conflicts."""
    barrier.wait(_PATIENCE_S)
    conflicts = 0
    for seed in seeds:
        while _unless_conflict(commit_columns, _CONTRACT, make_columns(rows, seed), folder, raw=str(seed)) is None:
            conflicts += 1
    answers.send(conflicts)


def _unless_conflict(write: Callable[..., Any], *arguments: Any, **named: Any) -> Snapshot | None:
    try:
        written = write(*arguments, **named)
    except ConflictError:
        return None
    snapshot: Snapshot = written[0] if isinstance(written, tuple) else written
    return snapshot
