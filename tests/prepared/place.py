"""Where the prepared home lies in the sandbox of a test."""

import shutil
from pathlib import Path
from typing import Final

from athanor.home import Home

PREPARED: Final = Home(Path(__file__).parent / "home")
"""Made by prepare.py. It is shared: read it, and write only to a copy."""


def copy_prepared(to: Path) -> Home:
    """A home of the test's own, that holds what the prepared one holds."""
    shutil.copytree(PREPARED.path, to)
    return Home(to)
