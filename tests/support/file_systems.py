"""File systems with habits that stores must bear. They lie on the disk, where a test can look at what they hold.

Fsspec has no types.
"""

from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem


class DamagingFileSystem(LocalFileSystem):  # type: ignore[misc]
    """Loses the last byte of files of one name, as a broken disk or an upload cut short would.

    Attributes:
        victim: name of the files that it damages.
    """

    protocol = "damaging"
    victim: ClassVar[str] = ""

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        super().pipe_file(path, value[:-1] if Path(path).name == self.victim else value, **options)


class HalvingFileSystem(LocalFileSystem):  # type: ignore[misc]
    """Writes a file in two parts, so that there is a moment when half of it is there."""

    protocol = "halving"

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        half = len(value) // 2
        for mode, part in (("wb", value[:half]), ("ab", value[half:])):
            with self.open(path, mode) as file:
                file.write(part)


class TimelessFileSystem(LocalFileSystem):  # type: ignore[misc]
    """Does not know when a file was written."""

    protocol = "timeless"

    def modified(self, path: str) -> Any:
        raise NotImplementedError


def register_file_systems() -> None:
    """Lets fsspec know their URLs."""
    for system in (DamagingFileSystem, HalvingFileSystem, TimelessFileSystem):
        fsspec.register_implementation(system.protocol, system, clobber=True)
