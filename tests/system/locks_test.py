"""A lock has one exclusive holder or many shared ones, among threads and processes, and none once these have died."""

import errno
import multiprocessing
import os
import stat
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from athanor.system.locks import FileLock, acquire, is_held

_FORKS = multiprocessing.get_context("fork")
_ANOTHER = 54_321


def _hold(path: Path, talk: Connection) -> None:
    acquire(path)
    talk.send("held")
    talk.recv()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "lock"


def test_readers_share_a_lock_on_a_read_only_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    acquire(path).release()
    real = os.open

    def read_only(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, mode)

    monkeypatch.setattr("os.open", read_only)
    acquire(path, shared=True).release()
    with pytest.raises(OSError, match="Read-only"):
        acquire(path)
    with pytest.raises(OSError, match="Read-only"):
        acquire(tmp_path / "other", shared=True)


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


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_its_file_and_folders_are_for_their_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        acquire(path).release()
    finally:
        os.umask(before)
    assert (_mode(path), _mode(path.parent)) == (0o600, 0o700)


def test_a_file_that_others_could_hold_is_narrowed(tmp_path: Path) -> None:
    """As an earlier version, or another umask, has made it."""
    (tmp_path / "lock").touch(0o666)
    (tmp_path / "lock").chmod(0o666)
    with acquire(tmp_path / "lock"):
        assert _mode(tmp_path / "lock") == 0o600


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("elsewhere"), os.mkfifo])
def test_a_link_or_another_kind_of_file_is_no_lock(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "elsewhere").touch()
    make(tmp_path / "lock")
    with pytest.raises(PermissionError, match=r"the lock is (a link|no regular file); remove it"):
        acquire(tmp_path / "lock", timeout_s=0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make files of other users")
def test_a_file_of_another_user_is_no_lock(tmp_path: Path) -> None:
    """The other user could hold it for good; the owner of the folder could replace it anyway."""
    lock = tmp_path / "lock"
    lock.touch()
    os.chown(lock, _ANOTHER, -1)
    with pytest.raises(PermissionError, match=f"belongs to another user, uid {_ANOTHER}, who could hold it; remove it"):
        acquire(lock, timeout_s=0)
    os.chown(tmp_path, _ANOTHER, -1)
    acquire(lock, timeout_s=0).release()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_another_user_cannot_hold_it(tmp_path: Path) -> None:
    with acquire(tmp_path / "lock"):
        pass
    tmp_path.chmod(0o755)
    folder = os.open(tmp_path, os.O_PATH)
    stranger = _FORKS.Process(target=_try_as_another, args=(folder,))
    stranger.start()
    stranger.join()
    os.close(folder)
    assert stranger.exitcode == 0


def _try_as_another(folder: int) -> None:
    os.setuid(_ANOTHER)
    assert os.stat("lock", dir_fd=folder).st_uid == 0
    with pytest.raises(PermissionError):
        os.open("lock", os.O_RDONLY, dir_fd=folder)
