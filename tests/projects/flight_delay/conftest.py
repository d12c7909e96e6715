"""What the demo leaves behind: the snapshot, the release and the running service of the real flights."""

from collections.abc import Iterator

import pytest
from support.demos import Demo, kept_demo

from athanor.contract.columns import Columns
from athanor.data.snapshots.snapshot import Snapshot, find_snapshot, read_snapshot
from athanor.home import Home
from athanor.release.files import Release
from athanor.release.predictor import Predictor
from athanor.release.store import ReleaseStore
from projects.flight_delay.model import MODEL


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Shared by all files: read its home, and write only to a copy."""
    with kept_demo(Home(tmp_path_factory.mktemp("demo") / "home")) as demo:
        yield demo


@pytest.fixture(scope="session")
def snapshot(demo: Demo) -> Snapshot:
    return find_snapshot(MODEL.name, demo.home.datasets)


@pytest.fixture(scope="session")
def columns(demo: Demo, snapshot: Snapshot) -> Columns:
    """All rows of the snapshot."""
    return read_snapshot(MODEL.contract, demo.home.datasets, snapshot)


@pytest.fixture(scope="session")
def release(demo: Demo) -> Release:
    """The release that takes traffic."""
    store = ReleaseStore(demo.home.store)
    return store.read(MODEL.name, store.read_traffic(MODEL.name).require_champion().digest)


@pytest.fixture(scope="session")
def predictor(release: Release) -> Predictor:
    return Predictor(release)
