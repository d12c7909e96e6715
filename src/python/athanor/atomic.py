"""Files and folders that appear whole or not at all, whoever else writes them or dies meanwhile."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_PREFIX = ".arriving-"


def place_folder(final: Path, fill: Callable[[Path], None]) -> None:
    """Fills a folder beside its final place and renames it there; does nothing if it is there already."""
    if final.exists():
        return
    final.parent.mkdir(parents=True, exist_ok=True)
    arriving = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=final.parent))
    try:
        fill(arriving)
        arriving.rename(final)
    except OSError:
        # Somebody else may have placed the same folder first.
        if not final.exists():
            raise
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


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
