"""Interface of a storage: the folders and files of a release store."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

from athanor.errors import ReleaseError
from athanor.system.regular import IrregularFileError

MAX_FILE_BYTES: Final = 512 * 1024**2
"""Most bytes of a file whose size nothing says. A manifest says the sizes of the files of a release."""


class Storage(ABC):
    """A tree of folders. Paths are relative to its root, with slashes."""

    @abstractmethod
    def name(self, path: str) -> str:
        """Name of a file or folder in messages."""

    @abstractmethod
    def list_names(self, folder: str) -> list[str]:
        """Names in a folder, sorted; empty if the folder does not exist."""

    @abstractmethod
    def read(self, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        """Reads a regular file.

        Raises:
            FileNotFoundError: it does not exist.
            IrregularFileError: it is another kind of file, a link or in a linked folder, or has more bytes.
            OSError: it cannot be read.
        """

    @abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """Writes or replaces a file atomically; makes the folders above it."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Removes a file, or a folder and everything below it; does nothing if it does not exist."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is a file now, of whatever kind."""

    @abstractmethod
    def last_written(self, folder: str) -> float:
        """Time of the last write to a file directly in a folder, in seconds since 1970.

        0 without files; infinity if the storage does not record it.
        """

    @abstractmethod
    def remove_abandoned(self, folder: str, older_than_s: float) -> None:
        """Removes temporary files of killed writers from a folder."""

    def read_if_there(self, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes | None:
        """As `read`; None if the file does not exist."""
        try:
            return self.read(path, max_bytes)
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
        if self._holds(path, content):
            return
        self.write(path, content)
        found = self.read_if_there(path, len(content))
        if found != content:
            # A reader could not tell damage from tampering.
            self.remove(path)
            raise ReleaseError(
                f"{self.name(path)} was stored damaged: its sha256 is {_describe(found)}, but "
                f"{_describe(content)} was written. The file was removed; check the storage and publish again"
            )

    def _holds(self, path: str, content: bytes) -> bool:
        """Whether a file has this content. Anything else in its place is replaced."""
        try:
            return self.read_if_there(path, len(content)) == content
        except IrregularFileError:
            return False


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _describe(content: bytes | None) -> str:
    return "absent" if content is None else hashlib.sha256(content).hexdigest()
