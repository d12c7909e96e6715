"""Storage at an fsspec URL, such as an object store."""

import math
from typing import Any

import fsspec

from athanor.errors import SettingsError
from athanor.release.storage.storage import MAX_FILE_BYTES, Storage
from athanor.system.regular import not_regular, too_large
from athanor.system.url_secrets import mask_secrets, mask_url


def open_remote(url: str, scheme: str) -> "RemoteStorage":
    """Raises SettingsError if fsspec knows no such URL, or the library for it is not installed."""
    try:
        system, root = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        # The URL may contain a password.
        raise SettingsError(
            f"no installed library handles {scheme}:// URLs ({mask_secrets(str(error), url)}); "
            "use a folder, or add the library that fsspec needs to the requirements and the lock"
        ) from None
    return RemoteStorage(system, root)


class RemoteStorage(Storage):
    """A folder of an fsspec file system. Replacing a file is as atomic as that system: object stores are."""

    def __init__(self, system: Any, root: str) -> None:
        self._system = system
        self._root = root.rstrip("/")

    def name(self, path: str) -> str:
        return mask_url(str(self._system.unstrip_protocol(self._at(path))))

    def list_names(self, folder: str) -> list[str]:
        path = self._at(folder)
        # Other processes write too, and file systems cache listings.
        self._system.invalidate_cache()
        try:
            found = self._system.ls(path, detail=False)
        except FileNotFoundError:
            return []
        # Some systems list the folder itself, as an empty object.
        return sorted({name for entry in found if (name := entry.rstrip("/").removeprefix(path).strip("/"))})

    def read(self, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        at = self._at(path)
        self._system.invalidate_cache()
        found = self._system.info(at)
        if found["type"] != "file" or found.get("islink"):
            raise not_regular(self.name(path), "a link" if found.get("islink") else f"of type {found['type']}")
        if (size := found.get("size") or 0) > max_bytes:
            raise too_large(self.name(path), size, max_bytes)
        return bytes(self._system.cat_file(at))

    def write(self, path: str, content: bytes) -> None:
        at = self._at(path)
        self._system.makedirs(at.rpartition("/")[0], exist_ok=True)
        self._system.pipe_file(at, content)

    def remove(self, path: str) -> None:
        self._system.invalidate_cache()
        if self._system.exists(self._at(path)):
            self._system.rm(self._at(path), recursive=True)

    def exists(self, path: str) -> bool:
        self._system.invalidate_cache()
        return bool(self._system.exists(self._at(path)))

    def last_written(self, folder: str) -> float:
        at = self._at(folder)
        try:
            written = [self._system.modified(f"{at}/{name}").timestamp() for name in self.list_names(folder)]
        except NotImplementedError:
            return math.inf
        return max(written, default=0.0)

    def remove_abandoned(self, folder: str, older_than_s: float) -> None:
        """Does nothing: files are written under their final names."""

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root
