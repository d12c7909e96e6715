"""Storage in a folder of this machine."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from athanor.release.storage.storage import Storage
from athanor.system.atomic import place_folder, remove_abandoned, replace_file


class LocalStorage(Storage):
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
        """As of every storage; and a folder that is not there appears at once."""
        if (self._folder / folder).exists():
            super().fill(folder, files)
        else:
            self.place(folder, files)

    def place(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Makes a folder of these files appear at once; does nothing if it is there. Raises as `fill` does."""
        place_folder(self._folder / folder, lambda arriving: LocalStorage(arriving).fill("", files))

    def remove_abandoned(self, folder: str, older_than_s: float) -> None:
        remove_abandoned(self._folder / folder, older_than_s)
