"""One writer at a time, and a lock that dies with its holder."""

import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import pytest
from support.forks import FORKS, start
from support.registries import hold_lock

from athanor.errors import ConflictError
from athanor.registry.settings import RegistrySettings, make_settings
from athanor.registry.tracking.lock import WriterLock

_PATIENCE_S: Final = 120.0


@pytest.fixture
def settings(tmp_path: Path) -> RegistrySettings:
    return make_settings(
        database_url=f"sqlite:///{tmp_path}/registry/x.db", artifacts_url="/artifacts", store_url="/store"
    )


def _receive(here: Connection) -> object:
    assert here.poll(_PATIENCE_S)
    return here.recv()


def test_a_wait_ends_with_an_error_and_a_killed_holder_releases_the_lock(settings: RegistrySettings) -> None:
    here, there = FORKS.Pipe()
    process = start(hold_lock, settings, there)
    assert _receive(here) == "held"
    with pytest.raises(ConflictError, match=r"another process has been writing to .*x.db for 0.05 s; nothing was"):
        WriterLock(settings, patience_s=0.05).held().__enter__()
    process.kill()
    with WriterLock(settings, _PATIENCE_S).held():
        process.join()


def test_a_waiter_gets_the_lock_when_it_is_released(settings: RegistrySettings) -> None:
    here, there = FORKS.Pipe()
    process = start(hold_lock, settings, there)
    assert _receive(here) == "held"
    here.send("let go")
    with WriterLock(settings, _PATIENCE_S).held():
        assert _receive(here) == "let go"
    process.join()


def test_the_lock_is_reentrant(settings: RegistrySettings) -> None:
    lock = WriterLock(settings, patience_s=0)
    with lock.held():
        with lock.held():
            pass
        with pytest.raises(ConflictError):
            WriterLock(settings, patience_s=0).held().__enter__()
    with WriterLock(settings, patience_s=0).held():
        pass


def test_threads_take_turns_too(settings: RegistrySettings) -> None:
    lock, inside, met = WriterLock(settings, _PATIENCE_S), threading.Event(), []

    def enter() -> None:
        with lock.held():
            met.append(inside.is_set())

    with lock.held():
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(0.05)
        assert met == []
        inside.set()
    thread.join()
    assert met == [True]
