"""Storage in a folder of this machine."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from athanor.release.storage.storage import MAX_FILE_BYTES, Storage
from athanor.system.atomic import create_folder, remove_abandoned, replace_file
from athanor.system.durability import sync
from athanor.system.regular import not_regular, read_regular


class LocalStorage(Storage):
    """A folder of this machine. Unless `durable` is off, written files survive a power failure."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._folder = folder
        self._durable = durable

    def name(self, path: str) -> str:
        return str(self._folder / path)

    def list_names(self, folder: str) -> list[str]:
        try:
            return sorted(entry.name for entry in (self._folder / folder).iterdir())
        except FileNotFoundError:
            return []

    def read(self, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        found = self._folder / path
        if found.parent != self._folder and found.parent.is_symlink():
            raise not_regular(found.parent, "a link")
        return read_regular(found, max_bytes)

    def write(self, path: str, content: bytes) -> None:
        replace_file(self._folder / path, content, durable=self._durable)

    def remove(self, path: str) -> None:
        found = self._folder / path
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        elif os.path.lexists(found):
            found.unlink()
            # A release without a manifest does not exist: a power failure must not bring one back without its files.
            sync(found.parent)

    def exists(self, path: str) -> bool:
        return os.path.lexists(self._folder / path)

    def last_written(self, folder: str) -> float:
        return max((entry.lstat().st_mtime for entry in (self._folder / folder).iterdir()), default=0.0)

    def fill(self, folder: str, files: Mapping[str, bytes]) -> None:
        """As in the base class; a folder that does not exist appears at once, with all its files."""
        if (self._folder / folder).exists():
            super().fill(folder, files)
        else:
            self.place(folder, files)

    def place(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Makes a folder of these files appear at once; does nothing if it exists. Raises as `fill`."""
        # Not durable file by file: the folder is flushed as a whole before it gets its name.
        create_folder(self._folder / folder, lambda new: LocalStorage(new, durable=False).fill("", files))

    def remove_abandoned(self, folder: str, older_than_s: float) -> None:
        remove_abandoned(self._folder / folder, older_than_s)
