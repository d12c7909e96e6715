"""Reads files that others may have put there: regular ones alone, up to a size.

A FIFO would hold its reader for good, a device may act when it is opened, a link leads elsewhere, and a sparse file of
no blocks may have gigabytes.
"""

import errno
import os
import stat
from pathlib import Path


class IrregularFileError(OSError):
    """A file is a link or no regular file, or has more bytes than allowed."""


def read_regular(path: Path, max_bytes: int, *, follow_links: bool = False) -> bytes:
    """Reads a file.

    Args:
        follow_links: for files that a person or Kubernetes names: mounted secrets are links.

    Raises:
        IrregularFileError: nothing was read.
        OSError: it does not exist or cannot be read.
    """
    # Before it is opened, which is an action on a device; and after, as it may have been replaced meanwhile.
    _require_regular(path.stat() if follow_links else path.lstat(), path, max_bytes)
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    with os.fdopen(os.open(path, flags), "rb") as file:
        _require_regular(os.fstat(file.fileno()), path, max_bytes)
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise too_large(path, len(content), max_bytes)
    return content


def too_large(path: Path | str, size: int, max_bytes: int) -> IrregularFileError:
    return IrregularFileError(errno.EINVAL, f"it has {size:,} bytes or more; allowed are {max_bytes:,}", str(path))


def not_regular(path: Path | str, kind: str) -> IrregularFileError:
    return IrregularFileError(errno.EINVAL, f"it is {kind}, and not a regular file", str(path))


def _require_regular(found: os.stat_result, path: Path, max_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise not_regular(path, _describe(found.st_mode))
    if found.st_size > max_bytes:
        raise too_large(path, found.st_size, max_bytes)


def _describe(mode: int) -> str:
    kinds = (
        (stat.S_ISLNK, "a link"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((kind for is_kind, kind in kinds if is_kind(mode)), "a device")
