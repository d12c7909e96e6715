"""Registries of a test's own, and processes that write to one, to be raced and to be killed.

The processes are forked off a server that has imported everything and done nothing with it.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import configure_mappers
from support.releases import make_release

from athanor.home import Home
from athanor.registry.care.doctor import examine
from athanor.registry.history import Registered
from athanor.registry.registry import Registry
from athanor.registry.settings import RegistrySettings
from athanor.registry.tracking.lock import WriterLock
from athanor.release.files import read_release

MODEL: Final = "delays"
FORKS: Final = get_context("forkserver")
BEGUN: Final = "begun"
DONE: Final = "done"
# Once, in the server: each process would do it again.
configure_mappers()
# Far more than any wait takes: a process that died lets the others fail instead of waiting for ever.
_PATIENCE_S: Final = 60.0


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


def start(target: Any, *arguments: Any) -> ForkServerProcess:
    """A process that runs a function of this module; it ends with its parent at the latest."""
    FORKS.set_forkserver_preload([__name__])
    process = FORKS.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def register_and_promote(
    settings: RegistrySettings, folders: Sequence[Path], barrier: Barrier, answers: Connection
) -> None:
    """Registers releases and promotes each, at once with all others at the barrier; sends their versions."""
    barrier.wait(_PATIENCE_S)
    registry = Registry(settings)
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


def change(home: Home, what: str, argument: Any, phases: Connection) -> None:
    """One change of a registry: `register` the release of a folder, or a move by the name of its method."""
    phases.send(BEGUN)
    registry = Registry.open(home)
    if what == "register":
        registry.register(read_release(argument))
    else:
        arguments = argument if isinstance(argument, tuple) else (argument,)
        getattr(registry, what)(MODEL, *arguments, why="to be killed")
    phases.send(DONE)


def hold_lock(settings: RegistrySettings, talk: Connection) -> None:
    """Holds the right to write until a message comes, and sends one before it releases it."""
    with WriterLock(settings, _PATIENCE_S).held():
        talk.send("held")
        talk.recv()
        talk.send("let go")
