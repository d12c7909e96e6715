"""What tests of training share."""

from pathlib import Path
from typing import Final

import pytest
from support.flights import make_columns
from support.pipelines import MakeRecipe
from support.pipelines import make_recipe as make
from support.snapshots import commit_columns

from athanor.data.snapshots.snapshot import Snapshot
from athanor.home import Home
from projects.delays.model import MODEL

_ROWS: Final = 400


@pytest.fixture
def make_recipe() -> MakeRecipe:
    """Makes the recipe, with some of its parts replaced."""
    return make


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def snapshot(home: Home) -> Snapshot:
    return commit_columns(MODEL.contract, make_columns(_ROWS), home.datasets)[0]
