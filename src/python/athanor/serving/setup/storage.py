"""Whether a service can write its files. On a full disk it goes on answering, without them."""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from athanor.errors import SettingsError
from athanor.serving.setup.paths import ServicePaths
from athanor.serving.setup.settings import read_settings_file

# A block of most file systems: a file without one may be possible on a full disk.
_BLOCK_BYTES: Final = 4_096


def find_storage_fault(paths: ServicePaths) -> str | None:
    """Which folder of a service cannot be written and why, found by writing; None if all can."""
    for folder, lost in _folders(paths):
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(_BLOCK_BYTES))
        except OSError as error:
            return f"cannot write to {folder}: {error.strerror}; {lost} are lost until it can"
    return None


def _folders(paths: ServicePaths) -> Iterator[tuple[Path, str]]:
    """The folders that replicas write to, and what is lost without them."""
    yield paths.folder, "lines of the log"
    # On a cluster, another machine may hold the settings.
    with suppress(SettingsError):
        if predictions := read_settings_file(paths.settings).get("prediction_log"):
            yield Path(str(predictions)), "rows of the prediction log"
