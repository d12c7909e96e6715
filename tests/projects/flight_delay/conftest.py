"""The real data and the real release, read once for all tests of a file."""

import pytest
from prepared.place import PREPARED

from athanor.contract.columns import Columns
from athanor.data.snapshots.snapshot import Snapshot, find_snapshot, read_snapshot
from athanor.release.predictor import Predictor
from athanor.release.store import ReleaseStore
from projects.flight_delay.model import MODEL


@pytest.fixture(scope="session")
def snapshot() -> Snapshot:
    return find_snapshot(MODEL.name, PREPARED.datasets)


@pytest.fixture(scope="session")
def columns(snapshot: Snapshot) -> Columns:
    """All rows of the snapshot."""
    return read_snapshot(MODEL.contract, PREPARED.datasets, snapshot)


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    """The release that takes traffic."""
    store = ReleaseStore(PREPARED.store)
    return Predictor(store.read(MODEL.name, store.read_traffic(MODEL.name).champion.digest), MODEL)
