"""The two folders of an ingest."""

from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The folder of the input."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The folder of the stored input."""
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder
