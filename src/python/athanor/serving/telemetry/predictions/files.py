"""The files of the prediction log. A reader sees each whole or not at all."""

import errno
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from arro3.core import RecordBatch, RecordBatchReader, Schema
from arro3.io import write_parquet

from athanor.errors import SettingsError
from athanor.system.atomic import open_temporary_file, remove_abandoned

_ABANDONED_S: Final = 3_600.0
_ROW_GROUP: Final = 50_000
# Errors of a disk that accepted writes before. Any other error is a mistake in the settings.
_FAILING_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def prepare_folder(folder: Path) -> Path:
    """Create a folder, and remove the unfinished files in its folders. Raises SettingsError if it cannot be written."""
    if "://" in str(folder) or ":/" in str(folder):
        raise SettingsError(f"prediction_log is {str(folder)!r}; give a folder on this machine")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for each in (folder, *folder.iterdir()):
            if each.is_dir():
                remove_abandoned(each, _ABANDONED_S)
    except OSError as error:
        if error.errno in _FAILING_DISK:
            # A replica that starts again answers all the same, as one that runs.
            return folder
        raise SettingsError(f"prediction_log: cannot write to {folder}: {error}; choose another folder") from None
    return folder


def write_file(path: Path, schema: Schema, batches: Iterable[RecordBatch], pause: Callable[[], None]) -> None:
    """Write a file.

    Args:
        pause: called between parts of the work.
    """
    with open_temporary_file(path.parent) as file:
        arriving = Path(file.name)
        try:
            reader = RecordBatchReader.from_batches(schema, pause_between(batches, pause))
            write_parquet(reader, _PausingFile(file, pause), compression="snappy", max_row_group_size=_ROW_GROUP)  # type: ignore[arg-type]
            file.flush()
            arriving.replace(path)
        except BaseException:
            arriving.unlink(missing_ok=True)
            raise


def pause_between(batches: Iterable[RecordBatch], pause: Callable[[], None]) -> Iterator[RecordBatch]:
    """The batches, with a pause before each."""
    for batch in batches:
        pause()
        yield batch


class _PausingFile:
    """A file that lets other threads run between writes."""

    def __init__(self, file: BinaryIO, pause: Callable[[], None]) -> None:
        self._file = file
        self._pause = pause

    def write(self, content: bytes) -> int:
        self._pause()
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)
