"""Where storage is: a path of this machine, or whatever fsspec has a URL for."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from athanor.errors import SettingsError
from athanor.release.storage.local import LocalStorage
from athanor.release.storage.storage import Storage

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)(://|::)", re.IGNORECASE)
_OF_THIS_MACHINE: Final = ("file", "local")


def is_url(location: str) -> bool:
    """Whether it is a URL, `memory://store`, and no path."""
    return _SCHEME.match(location) is not None


def to_absolute(location: Path | str) -> str:
    """A URL as it is, and a path as the one that it is from every working directory."""
    return location if isinstance(location, str) and is_url(location) else str(Path(location).absolute())


def open_storage(location: Path | str) -> Storage:
    """The storage at a path or URL. It need not be there yet.

    Raises:
        SettingsError: nothing here knows such a URL.
    """
    scheme = None if isinstance(location, Path) else _SCHEME.match(location)
    if scheme is None:
        return LocalStorage(Path(location))
    if scheme[0].lower() in [f"{name}://" for name in _OF_THIS_MACHINE]:
        return LocalStorage(_to_path(str(location)))
    from athanor.release.storage.remote import open_remote  # noqa: PLC0415 - fsspec takes 0.1 s that only URLs need

    return open_remote(str(location), scheme[1])


def _to_path(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise SettingsError(f"{url} names no folder of this machine; give three slashes, file:///absolute/folder")
    return Path(url2pathname(parts.path))
