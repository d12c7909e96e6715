"""Scratch folders whose paths are short enough for sockets."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from athanor.system.locks import FileLock, acquire
from athanor.system.processes import own

PREFIX: Final = "ath-"
# The owner locks it for life: a lock that no process holds marks the remains of a killed process.
_OWNER: Final = "owner"
_PARENT: Final = Path("/tmp")  # noqa: S108 - see `scratch_folder`
# A folder without an owner may be one that is just being made.
_MADE_WITHIN_S: Final = 60.0


@contextmanager
def scratch_folder(parent: Path = _PARENT) -> Iterator[Path]:
    """Makes a folder that its owner alone may enter, and removes it with all it holds when the context ends.

    First removes the folders that killed processes of this user left behind.

    Args:
        parent: /tmp whatever TMPDIR says: the path of a socket may have 107 bytes, and Ray takes about 70 of them.
    """
    remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    with own(folder / _OWNER):
        try:
            yield folder
        finally:
            # Processes that are about to end may still write there.
            shutil.rmtree(folder, ignore_errors=True)


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
