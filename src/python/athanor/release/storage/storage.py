"""Interface of a storage: the folders and files of a release store."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping

from athanor.errors import ReleaseError


class Storage(ABC):
    """A tree of folders. Paths are relative to its root, with slashes."""

    @abstractmethod
    def name(self, path: str) -> str:
        """Name of a file or folder in messages."""

    @abstractmethod
    def list_names(self, folder: str) -> list[str]:
        """Names in a folder, sorted; empty if the folder does not exist."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError if the file does not exist, OSError if it cannot be read."""

    @abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """Writes or replaces a file atomically; makes the folders above it."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Removes a file, or a folder and everything below it; does nothing if it does not exist."""

    @abstractmethod
    def is_file(self, path: str) -> bool:
        """Whether the file exists now."""

    @abstractmethod
    def last_written(self, folder: str) -> float:
        """Time of the last write to a file directly in a folder, in seconds since 1970.

        0 without files; infinity if the storage does not record it.
        """

    @abstractmethod
    def remove_abandoned(self, folder: str, older_than_s: float) -> None:
        """Removes temporary files of killed writers from a folder."""

    def read_if_there(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None

    def fill(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Makes a folder contain exactly these files; writes them in the given order.

        Raises:
            ReleaseError: a file reads back with other content than was written. Names the file and both digests.
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
            # A reader could not tell damage from tampering.
            self.remove(path)
            raise ReleaseError(
                f"{self.name(path)} was stored damaged: its sha256 is {_describe(found)}, but "
                f"{_describe(content)} was written. The file was removed; check the storage and publish again"
            )


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _describe(content: bytes | None) -> str:
    return "absent" if content is None else hashlib.sha256(content).hexdigest()
