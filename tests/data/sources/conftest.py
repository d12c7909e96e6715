"""Two folders, as an ingest has them."""

from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where input lies."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where it is kept."""
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder
