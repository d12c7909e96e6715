"""A lock has one exclusive holder or many shared ones, among threads and processes, and none once these have died."""

import multiprocessing
import stat
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from athanor.system.locks import FileLock, acquire, is_held

_FORKS = multiprocessing.get_context("fork")


def _hold(path: Path, talk: Connection) -> None:
    acquire(path)
    talk.send("held")
    talk.recv()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "lock"


def test_a_second_holder_waits_in_vain_and_says_how_long(path: Path) -> None:
    with acquire(path), pytest.raises(TimeoutError, match=r"0\.02 s"):
        acquire(path, timeout_s=0.02)


def test_a_released_lock_can_be_taken(path: Path) -> None:
    with acquire(path) as lock:
        assert is_held(path)
    assert not is_held(path)
    lock.release()
    acquire(path, timeout_s=0).release()


def test_a_waiter_gets_the_lock_when_it_is_released(path: Path) -> None:
    lock, got = acquire(path), list[FileLock]()
    waiter = threading.Thread(target=lambda: got.append(acquire(path)))
    waiter.start()
    waiter.join(0.05)
    assert got == []
    lock.release()
    waiter.join(60)
    got[0].release()


def test_shared_holders_keep_out_an_exclusive_one_and_not_each_other(path: Path) -> None:
    with acquire(path, shared=True), acquire(path, shared=True, timeout_s=0):
        assert not is_held(path)
        with pytest.raises(TimeoutError):
            acquire(path, timeout_s=0)


def test_an_exclusive_holder_keeps_out_shared_ones(path: Path) -> None:
    with acquire(path), pytest.raises(TimeoutError):
        acquire(path, shared=True, timeout_s=0)


def test_a_lock_without_a_file_is_not_held_and_none_is_made(path: Path) -> None:
    assert not is_held(path)
    assert not path.parent.exists()


def test_a_lock_is_held_for_the_life_of_a_process_and_no_longer(path: Path) -> None:
    here, there = _FORKS.Pipe()
    holder = _FORKS.Process(target=_hold, args=(path, there))
    holder.start()
    assert here.recv() == "held"
    assert is_held(path)
    holder.kill()
    holder.join()
    assert not is_held(path)


def test_its_file_is_for_its_owner_alone_unless_said_otherwise(tmp_path: Path) -> None:
    for name, mode in (("own", 0o600), ("readable", 0o644)):
        with acquire(tmp_path / name, mode=mode):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode
