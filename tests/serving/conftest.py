"""A core with a hand-made release that takes traffic."""

from pathlib import Path

import pytest
from support.releases import make_release

from athanor.release.files import Release
from athanor.release.store import ReleaseStore, Served, Traffic
from athanor.serving.core import Core
from projects.flight_delay.model import MODEL


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(tmp_path / "store")


@pytest.fixture
def release(store: ReleaseStore, tmp_path: Path) -> Release:
    """Serves as 1.2.3."""
    made = make_release(tmp_path / "candidates")
    store.publish(made)
    served = Served(digest=made.digest, semantic_version="1.2.3")
    store.write_traffic(Traffic(model=MODEL.name, revision=1, champion=served))
    return made


@pytest.fixture
def core(store: ReleaseStore, release: Release) -> Core:
    return Core(MODEL, store, max_rows=50)
