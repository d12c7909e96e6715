"""Where files are kept: a folder of this machine, or whatever fsspec has a URL for."""

import hashlib
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from athanor.errors import ReleaseError, SettingsError
from athanor.system.atomic import place_folder, remove_abandoned, replace_file

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)(://|::)", re.IGNORECASE)
_OF_THIS_MACHINE: Final = ("file", "local")


class Place(ABC):
    """A folder with folders below it. Paths are relative to it, with slashes."""

    @abstractmethod
    def name(self, path: str) -> str:
        """What to call a file or folder in words for people."""

    @abstractmethod
    def list_names(self, folder: str) -> list[str]:
        """Names of what lies directly in a folder, in order; none where there is no such folder."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError if the file is not there, OSError if it cannot be read."""

    @abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """Writes a file, and the folders above it, or replaces it at once."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Removes a file, or a folder with all that is below it; does nothing if it is not there."""

    @abstractmethod
    def is_file(self, path: str) -> bool:
        """Whether there is such a file now."""

    @abstractmethod
    def last_written(self, folder: str) -> float:
        """When the youngest file directly in a folder was written, in seconds since 1970.

        0 where none is; infinite where the place does not know.
        """

    @abstractmethod
    def remove_abandoned(self, folder: str, older_than_s: float) -> None:
        """Removes what writers that were killed have left in a folder under names of their own."""

    def read_if_there(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None

    def fill(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Makes a folder hold these files and nothing else, one after the other in the order given.

        Raises:
            ReleaseError: what is read back is not what was written. Names the file and both digests.
        """
        for name in self.list_names(folder):
            if name not in files:
                self.remove(_join(folder, name))
        for name, content in files.items():
            self._keep(_join(folder, name), content)

    def _keep(self, path: str, content: bytes) -> None:
        if self.read_if_there(path) == content:
            return
        self.write(path, content)
        found = self.read_if_there(path)
        if found != content:
            # Else the next reader would have to tell damage from a lie.
            self.remove(path)
            raise ReleaseError(
                f"{self.name(path)} was not kept as it was written: its sha256 is {_tell(found)}, written was "
                f"{_tell(content)}. It was removed; look after the store and publish again"
            )


class LocalPlace(Place):
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def name(self, path: str) -> str:
        return str(self._folder / path)

    def list_names(self, folder: str) -> list[str]:
        try:
            return sorted(entry.name for entry in (self._folder / folder).iterdir())
        except FileNotFoundError:
            return []

    def read(self, path: str) -> bytes:
        return (self._folder / path).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        replace_file(self._folder / path, content)

    def remove(self, path: str) -> None:
        found = self._folder / path
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink(missing_ok=True)

    def is_file(self, path: str) -> bool:
        return (self._folder / path).is_file()

    def last_written(self, folder: str) -> float:
        return max((entry.lstat().st_mtime for entry in (self._folder / folder).iterdir()), default=0.0)

    def fill(self, folder: str, files: Mapping[str, bytes]) -> None:
        """As of every place; and a folder that is not there appears at once."""
        if (self._folder / folder).exists():
            super().fill(folder, files)
        else:
            self.place(folder, files)

    def place(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Makes a folder of these files appear at once; does nothing if it is there. Raises as `fill` does."""
        place_folder(self._folder / folder, lambda arriving: LocalPlace(arriving).fill("", files))

    def remove_abandoned(self, folder: str, older_than_s: float) -> None:
        remove_abandoned(self._folder / folder, older_than_s)


def is_url(location: str) -> bool:
    """Whether it is a URL, `memory://store`, and no path."""
    return _SCHEME.match(location) is not None


def to_absolute(location: Path | str) -> str:
    """A URL as it is, and a path as the one that it is from every working directory."""
    return location if isinstance(location, str) and is_url(location) else str(Path(location).absolute())


def open_place(location: Path | str) -> Place:
    """The place at a path or URL. It need not be there yet.

    Raises:
        SettingsError: nothing here knows such a URL.
    """
    scheme = None if isinstance(location, Path) else _SCHEME.match(location)
    if scheme is None:
        return LocalPlace(Path(location))
    if scheme[0].lower() in [f"{name}://" for name in _OF_THIS_MACHINE]:
        return LocalPlace(_to_path(str(location)))
    from athanor.release.remote import open_remote  # noqa: PLC0415 - fsspec takes 0.1 s that only URLs need

    return open_remote(str(location), scheme[1])


def _to_path(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise SettingsError(f"{url} names no folder of this machine; give three slashes, file:///absolute/folder")
    return Path(url2pathname(parts.path))


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _tell(content: bytes | None) -> str:
    return "absent" if content is None else hashlib.sha256(content).hexdigest()
