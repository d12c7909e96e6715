"""Locks between processes and threads: `flock` on a file, which the kernel releases when its holder dies.

Not the library filelock: its `flock` has no shared mode, and it cannot say whether another process holds a lock.
"""

import errno
import fcntl
import math
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from athanor.system.durability import make_folder

_POLL_S: Final = 0.01
_PRIVATE: Final = 0o600
_OTHERS: Final = 0o077


class FileLock:
    """A lock that this process holds: until `release`, the end of a `with`, or its own end if neither comes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Does nothing the second time."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(path: Path, *, shared: bool = False, timeout_s: float = math.inf) -> FileLock:
    """Takes a lock; makes its file, and the folders above it, if they are missing. The file stays.

    Its owner alone can open the file: a user who can read it can lock it, and hold up all others.

    Args:
        shared: with other shared holders, and no exclusive one.

    Raises:
        TimeoutError: others held it for longer than `timeout_s`.
        PermissionError: the file is another user's, a link, or no regular file.
    """
    make_folder(path.parent)
    lock = FileLock(descriptor := _open_or_make(path, shared))
    try:
        _make_private(descriptor, path)
        _lock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, timeout_s)
    except BaseException:
        lock.release()
        raise
    return lock


def is_held(path: Path) -> bool:
    """Whether a process, this one included, holds a lock exclusively. Looking makes others wait for a moment."""
    try:
        descriptor = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _open_or_make(path: Path, shared: bool) -> int:
    try:
        return _open(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        # Readers share a lock on a read-only disk as well.
        if not shared or error.errno != errno.EROFS or not path.exists():
            raise
        return _open(path, os.O_RDONLY)


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, _PRIVATE)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise PermissionError(errno.EPERM, "the lock is a link; remove it", str(path)) from None


def _make_private(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise PermissionError(errno.EPERM, "the lock is no regular file; remove it", str(path))
    # The folder's owner: root in a user's home, or anyone on a network file system that maps users, as NFS does.
    if found.st_uid not in (os.geteuid(), path.parent.stat().st_uid):
        raise PermissionError(
            errno.EPERM,
            f"the lock belongs to another user, uid {found.st_uid}, who could hold it; remove it",
            str(path),
        )
    if found.st_mode & _OTHERS:
        # Made by an earlier version, or with a wider mode by hand.
        with suppress(OSError):
            os.fchmod(descriptor, _PRIVATE)


def _lock(descriptor: int, kind: int, timeout_s: float) -> None:
    if timeout_s == math.inf:
        fcntl.flock(descriptor, kind)
        return
    deadline = time.monotonic() + timeout_s
    while not _try_lock(descriptor, kind):
        if time.monotonic() > deadline:
            raise TimeoutError(f"a lock was held by others for {timeout_s:g} s")
        time.sleep(_POLL_S)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
