"""Files and folders that appear whole or not at all, whatever others write and whenever a process or the power dies.

Each is written under a temporary name beside its final one, flushed and renamed; then the folder that names it is
flushed. So a reader, also one after a power failure, finds the old content or the new, and what a function has returned
from survives.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from athanor.system.durability import make_folder, sync, sync_tree

_PREFIX: Final = ".arriving-"


def make_temporary_folder(parent: Path) -> Path:
    """An empty folder with a temporary name; `remove_abandoned` finds it if nothing else removes it."""
    make_folder(parent)
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))


def open_temporary_file(parent: Path) -> IO[bytes]:
    """An empty file with a temporary name, for its owner alone; `remove_abandoned` finds it if nothing else does."""
    make_folder(parent)
    return tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=parent, delete=False)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent`, to fill and then to rename; what is left under its temporary name is removed."""
    folder = make_temporary_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rename_file(temporary: Path, final: Path) -> None:
    """Gives a file that is written its final name, in the place of another if there is one."""
    sync(temporary)
    temporary.replace(final)
    sync(final.parent)


def rename_folder(temporary: Path, final: Path) -> bool:
    """Gives a filled folder its final name, unless the final one exists; returns whether it did."""
    if final.exists():
        return False
    sync_tree(temporary)
    try:
        temporary.rename(final)
    except OSError:
        # Another process may have made the same folder first.
        if not final.exists():
            raise
        return False
    sync(final.parent)
    return True


def create_folder(final: Path, fill: Callable[[Path], None]) -> None:
    """Fills a folder under a temporary name and renames it; does nothing if the final one exists."""
    if final.exists():
        return
    with temporary_folder(final.parent) as folder:
        try:
            fill(folder)
        except OSError:
            if not final.exists():
                raise
        rename_folder(folder, final)


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Writes a file or replaces it, for its owner alone; a reader sees the old content or the new, never a part.

    Args:
        durable: whether the content must survive a power failure. It does unless a caller knows better: to flush what
            need not be costs milliseconds, not to flush what must be costs the file. Without it, a power failure may
            leave an empty file.
    """
    with _written(path, content, durable) as temporary:
        temporary.replace(path)
        if durable:
            sync(path.parent)


def create_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Writes a file that does not exist yet, and survives a power failure. Raises FileExistsError if it exists."""
    with _written(path, content) as temporary:
        temporary.chmod(mode)
        # A rename would replace what another process has made meanwhile.
        path.hardlink_to(temporary)
        sync(path.parent)


@contextmanager
def _written(path: Path, content: bytes, durable: bool = True) -> Iterator[Path]:
    """The content in a temporary file beside `path`, flushed; removed if it is still there in the end."""
    try:
        with open_temporary_file(path.parent) as file:
            temporary = Path(file.name)
            try:
                file.write(content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                yield temporary
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        # A failed write to an open file, as on a full disk, names no file; closing it then fails again.
        error.filename = error.filename or str(path)
        raise


def remove_abandoned(parent: Path, older_than_s: float) -> None:
    """Removes what killed processes left under temporary names in a folder, if it was not written for so long."""
    latest = time.time() - older_than_s
    for path in parent.glob(f"{_PREFIX}*"):
        if _last_written(path) < latest:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _last_written(path: Path) -> float:
    try:
        return max(entry.lstat().st_mtime for entry in (path, *path.rglob("*")))
    except FileNotFoundError:  # it has just been renamed, or removed by another
        return time.time()
