"""Registries of a test's own, and writers to them in processes of their own, to race and to kill."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from mlflow.store.db import utils
from sqlalchemy import Connection as Database
from sqlalchemy import Engine, event
from sqlalchemy.orm import configure_mappers
from support.forks import FORKS, start
from support.killed import STEP
from support.releases import make_release

from athanor.home import Home
from athanor.registry.care.doctor import examine
from athanor.registry.history import Registered
from athanor.registry.registry import Registry
from athanor.registry.settings import RegistrySettings
from athanor.registry.tracking.lock import WriterLock
from athanor.release.files import read_release

MODEL: Final = "delays"
# Once, in the server: otherwise, each process would do it again.
configure_mappers()
# Otherwise, MLflow loads all of its 67 migrations to find it each time it opens a database.
_REVISION: Final = utils._get_latest_schema_revision()  # type: ignore[no-untyped-call]
utils._get_latest_schema_revision = lambda: _REVISION
FORKS.set_forkserver_preload([__name__])
_ENGINES: Final = WeakSet[Engine]()
_READING: Final = ("SELECT", "PRAGMA", "SET", "SHOW")
# Far more than any wait takes: after a process has died, the others fail instead of waiting forever.
_PATIENCE_S: Final = 240.0


@dataclass(frozen=True)
class Workspace:
    """A home with a registry, its store and its candidates."""

    path: Path

    @property
    def home(self) -> Home:
        return Home(self.path)

    def open(self) -> Registry:
        return Registry.open(self.home)

    def train(self, **changed: Any) -> Path:
        """Writes a release as training does; returns its folder."""
        folder = self.home.candidates / str(changed.get("model", MODEL))
        return folder / make_release(folder, **changed).digest

    def copy(self, to: Path) -> "Workspace":
        """Making a database and registering take seconds, a copy none."""
        return Workspace(shutil.copytree(self.path, to / "workspace"))

    def reset(self, source: "Workspace") -> None:
        """Becomes a copy of another. MLflow and SQLAlchemy open a database they know far faster than a new one."""
        for engine in _ENGINES:
            engine.dispose()
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(source.path, self.path)


def register_and_promote(
    settings: RegistrySettings, folders: Sequence[Path], barrier: Barrier, answers: Connection
) -> None:
    """Registers releases and promotes each, at once with all others at the barrier; sends their versions."""
    barrier.wait(_PATIENCE_S)
    registry = Registry(settings, _PATIENCE_S)
    for folder in folders:
        version, _ = registry.register(read_release(folder))
        registry.promote(version.model, version.semantic_version, why=f"process of {version.digest}")
        answers.send(version)


def race(settings: RegistrySettings, folders: Sequence[Sequence[Path]]) -> list[Registered]:
    """Lets a process per writer register and promote its releases, all at once; returns the versions that they got."""
    barrier = FORKS.Barrier(len(folders))
    pipes = [FORKS.Pipe(duplex=False) for _ in folders]
    processes = [
        start(register_and_promote, settings, of_writer, barrier, there)
        for of_writer, (_, there) in zip(folders, pipes, strict=True)
    ]
    returned = []
    for of_writer, (here, _) in zip(folders, pipes, strict=True):
        for _folder in of_writer:
            assert here.poll(_PATIENCE_S)
            returned.append(here.recv())
    for process in processes:
        process.join(_PATIENCE_S)
    assert [process.exitcode for process in processes] == [0] * len(processes)
    return returned


def check_nothing_is_lost(
    registry: Registry, workspace: Workspace, returned: Sequence[Registered], promotions: int
) -> None:
    """Asserts that each returned version exists once, that each promotion has its record, and that all agrees."""
    versions = registry.list_versions(MODEL)
    numbers = {version.digest: version.semantic_version for version in returned}
    assert {version.digest: version.semantic_version for version in versions} == numbers
    assert [version.number for version in versions] == list(range(1, len(numbers) + 1))[::-1]
    assert len(set(numbers.values())) == len({version.run for version in versions}) == len(numbers)
    moves = registry.list_moves(MODEL)
    assert [move.revision for move in moves] == list(range(1, promotions + 1))
    assert all(move.why == f"process of {move.digest}" for move in moves)
    assert examine(registry, workspace.home.candidates) == []


def change(settings: RegistrySettings, what: str, argument: Any) -> None:
    """One change of a registry: `register` the release of a folder, or a move by the name of its method."""
    registry = Registry(settings)
    if what == "register":
        registry.register(read_release(argument))
    else:
        getattr(registry, what)(MODEL, *argument, why="to be killed")


@event.listens_for(Engine, "engine_connect")
def _remember_engine(database: Database) -> None:
    _ENGINES.add(database.engine)


@event.listens_for(Engine, "before_cursor_execute")
def _announce_statement(database: Database, _: object, statement: str, *others: object) -> None:
    if not statement.lstrip().upper().startswith(_READING):
        database.info[STEP] = True
        sys.audit(STEP, statement)


@event.listens_for(Engine, "commit")
def _announce_commit(database: Database) -> None:
    if database.info.pop(STEP, False):
        sys.audit(STEP, "COMMIT")


def hold_lock(settings: RegistrySettings, talk: Connection) -> None:
    """Holds the right to write until a message comes, and sends one before it releases it."""
    with WriterLock(settings, _PATIENCE_S).held():
        talk.send("held")
        talk.recv()
        talk.send("let go")
