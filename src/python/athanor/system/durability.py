"""Files and folders that survive a power failure: fsync of a file's content first, then of the folders that name it."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

# What file systems answer that flush no folders, as some network ones: there is nothing more to do there.
_CANNOT: Final = (errno.EBADF, errno.EINVAL)


def sync(path: Path) -> None:
    """Flushes the content of a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flushes all files and folders below a folder, then its own names; skips what others remove meanwhile."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            with suppress(FileNotFoundError):
                sync(Path(parent, name))
        sync(Path(parent))


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, for their owner alone and each named on disk; does nothing if it exists."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(0o700, exist_ok=True)
    sync(path.parent)
