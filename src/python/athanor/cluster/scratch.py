"""Scratch folders whose paths are short enough for sockets."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from athanor.errors import StorageError
from athanor.system.locks import FileLock, acquire
from athanor.system.processes import own

PREFIX: Final = "ath-"
# The owner locks it for life: a lock that no process holds marks the remains of a killed process.
_OWNER: Final = "owner"
_PARENT: Final = Path("/tmp")  # noqa: S108 - see `scratch_folder`
_WHY: Final = "Ray keeps its sockets and logs there, whatever TMPDIR and --home say"
# Ray starts with half a MiB, and fills more with logs.
_LEAST_FREE_BYTES: Final = 8 * 2**20
# A folder without an owner may be one that is just being made.
_MADE_WITHIN_S: Final = 60.0


@contextmanager
def scratch_folder(parent: Path = _PARENT) -> Iterator[Path]:
    """Makes a folder that its owner alone may enter, and removes it with all it holds when the context ends.

    First removes the folders that killed processes of this user left behind.

    Args:
        parent: /tmp whatever TMPDIR says: the path of a socket may have 107 bytes, and Ray takes about 70 of them.

    Raises:
        StorageError: the parent cannot be written, or has too little room. Ray would try for half a minute, and name
            another cause.
    """
    remove_abandoned(parent)
    _require_room(parent)
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise StorageError(f"{parent} cannot be written: {error.strerror}; {_WHY}") from None
    with own(folder / _OWNER):
        try:
            yield folder
        finally:
            # Processes that are about to end may still write there.
            shutil.rmtree(folder, ignore_errors=True)


def _require_room(parent: Path) -> None:
    free = shutil.disk_usage(parent).free
    if free < _LEAST_FREE_BYTES:
        raise StorageError(
            f"{parent} has {free / 2**20:.1f} MiB of free space, less than {_LEAST_FREE_BYTES // 2**20} MiB; "
            f"free some. {_WHY}"
        )


def remove_abandoned(parent: Path = _PARENT) -> None:
    """Removes this user's scratch folders whose owner has ended; leaves a folder that does not say who owns it."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            status = folder.lstat()
            if folder.is_symlink() or not folder.is_dir() or status.st_uid != os.geteuid():
                continue
            if not (folder / _OWNER).exists():
                if time.time() - status.st_mtime > _MADE_WITHIN_S:
                    # Only if it is empty: an earlier version wrote no owner, and may still run.
                    folder.rmdir()
            elif (lock := _take(folder / _OWNER)) is not None:
                with lock:
                    shutil.rmtree(folder, ignore_errors=True)


def _take(path: Path) -> FileLock | None:
    try:
        return acquire(path, timeout_s=0)
    except TimeoutError:
        return None
