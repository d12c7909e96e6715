"""Opens the storage at a path of this machine or at an fsspec URL."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from athanor.errors import SettingsError
from athanor.release.storage.local import LocalStorage
from athanor.release.storage.storage import Storage
from athanor.system.url_secrets import mask_url

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)(://|::)", re.IGNORECASE)
_OF_THIS_MACHINE: Final = ("file", "local")


def is_url(location: str) -> bool:
    """Whether a location is a URL, such as `memory://store`, and not a path."""
    return _SCHEME.match(location) is not None


def to_absolute(location: Path | str) -> str:
    """Makes a path absolute; leaves a URL as it is."""
    return location if isinstance(location, str) and is_url(location) else str(Path(location).absolute())


def open_storage(location: Path | str) -> Storage:
    """Opens the storage at a path or URL, which need not exist yet.

    Raises:
        SettingsError: no installed library handles the URL.
    """
    scheme = None if isinstance(location, Path) else _SCHEME.match(location)
    if scheme is None:
        return LocalStorage(Path(location))
    if scheme[0].lower() in [f"{name}://" for name in _OF_THIS_MACHINE]:
        return LocalStorage(_to_path(str(location)))
    from athanor.release.storage.remote import open_remote  # noqa: PLC0415 - fsspec takes 0.1 s to import, and only URLs need it

    return open_remote(str(location), scheme[1])


def _to_path(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise SettingsError(
            f"{mask_url(url)} names no folder of this machine; write three slashes: file:///absolute/folder"
        )
    return Path(url2pathname(parts.path))
