"""Errors of the file system as Python raises them, with number and path: errors of Arrow and deltalake lack some."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_NUMBER: Final = re.compile(r"\(os error (\d+)\)")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives an OSError that names no path, such as one of a full disk, the path, its number and the system's words."""
    try:
        yield
    except OSError as error:
        if error.errno is None and (found := _NUMBER.search(str(error))):
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error
        # Without a number the text would be lost.
        if error.errno is not None and error.filename is None:
            error.strerror, error.filename = os.strerror(error.errno), str(path)
        raise
