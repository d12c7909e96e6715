"""Storage: folders and files of a release store, wherever they are kept."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping

from athanor.errors import ReleaseError


class Storage(ABC):
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

        0 where none is; infinite where the storage does not know.
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


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _tell(content: bytes | None) -> str:
    return "absent" if content is None else hashlib.sha256(content).hexdigest()
