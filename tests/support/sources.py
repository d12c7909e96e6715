"""Reads sources as an ingest does."""

import zipfile
from pathlib import Path

import pyarrow as pa

from athanor.data.sources.source import Opened, Source


def write(path: Path, content: bytes) -> Path:
    """Writes a file, creating its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Writes an archive with the given members, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def list_names(folder: Path) -> list[str]:
    """The names of all files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def take(opened: Opened) -> pa.Table:
    """All rows of an opened source; asserts that all were read, amounts add up to its size and schemas agree."""
    batches = list(opened.batches)
    assert not opened.unread
    assert sum(amount for _, amount in batches) == opened.size
    assert all(table.schema == batches[0][0].schema for table, _ in batches)
    return pa.concat_tables([table for table, _ in batches])


def ingest(source: Source, folder: Path, batch_rows: int = 1000) -> pa.Table:
    """Fetches a source into a folder, which it creates, and reads all of it."""
    folder.mkdir(exist_ok=True)
    source.fetch(folder, None)
    return take(source.open(folder, batch_rows))
