"""Files and folders that appear whole or not at all, whoever else writes them or dies meanwhile."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".arriving-"


@contextmanager
def arriving_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent`, to be filled and then renamed by `settle`; what is left of it is removed."""
    parent.mkdir(parents=True, exist_ok=True)
    arriving = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        yield arriving
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def settle(arriving: Path, final: Path) -> bool:
    """Renames a filled folder, unless the final one is there; returns whether it did."""
    try:
        if not final.exists():
            arriving.rename(final)
            return True
    except OSError:
        # Somebody else may have placed the same folder first.
        if not final.exists():
            raise
    return False


def place_folder(final: Path, fill: Callable[[Path], None]) -> None:
    """Fills a folder beside its final place and renames it there; does nothing if it is there already."""
    if final.exists():
        return
    with arriving_folder(final.parent) as arriving:
        try:
            fill(arriving)
        except OSError:
            if not final.exists():
                raise
        settle(arriving, final)


def remove_abandoned(parent: Path, older_than_s: float) -> None:
    """Removes what killed processes left half done in a folder, if nothing in it was written for so long."""
    latest = time.time() - older_than_s
    for arriving in parent.glob(f"{_PREFIX}*"):
        if _last_written(arriving) < latest:
            if arriving.is_dir():
                shutil.rmtree(arriving, ignore_errors=True)
            else:
                arriving.unlink(missing_ok=True)


def _last_written(path: Path) -> float:
    try:
        return max(entry.lstat().st_mtime for entry in (path, *path.rglob("*")))
    except FileNotFoundError:  # it has just been renamed, or removed by another
        return time.time()


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file or replaces it; a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_PREFIX, dir=path.parent)
    arriving = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        arriving.replace(path)
    except BaseException:
        arriving.unlink(missing_ok=True)
        raise
