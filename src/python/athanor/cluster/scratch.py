"""Scratch folders whose paths are short enough for sockets."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PREFIX: Final = "ath-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Makes a folder that its owner alone may enter, and removes it with all it holds when the context ends.

    It lies in /tmp whatever TMPDIR says: the path of a socket may have 107 bytes, and Ray takes about 70 of them.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    try:
        yield folder
    finally:
        # Processes that are about to end may still write there.
        shutil.rmtree(folder, ignore_errors=True)
