"""Registries that the tests of this folder begin with."""

from typing import Any

import pytest
from support.registries import MODEL, Workspace

from athanor.registry.registry import Registry
from athanor.release.files import Release, read_release
from athanor.release.store import ReleaseStore


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ATHANOR_REGISTRY_URL", "ATHANOR_ARTIFACTS_URL", "ATHANOR_STORE_URL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Without a model; with the releases of `releases` as candidates."""
    workspace = Workspace(tmp_path_factory.mktemp("empty"))
    changes: list[dict[str, Any]] = [{}, {"snapshot": "6" * 64}, {"snapshot": "6" * 64, "algorithm": "other"}]
    for changed in changes:
        workspace.train(**changed)
    workspace.open()
    return workspace


@pytest.fixture(scope="session")
def releases(empty: Workspace) -> list[Release]:
    """1.0.0, 1.0.1 with new data, 1.1.0 with another algorithm."""
    found = [read_release(folder) for folder in (empty.home.candidates / MODEL).iterdir()]
    return sorted(found, key=lambda release: (release.identity.algorithm == "other", release.identity.snapshot))


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, empty: Workspace, releases: list[Release]) -> Workspace:
    """With all of `releases` registered."""
    workspace = empty.copy(tmp_path_factory.mktemp("filled"))
    registry = workspace.open()
    for release in releases:
        registry.register(release)
    return workspace


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace that each test resets: always the same database for MLflow and SQLAlchemy."""
    return Workspace(tmp_path_factory.mktemp("place") / "workspace")


@pytest.fixture
def workspace(request: pytest.FixtureRequest, place: Workspace, empty: Workspace) -> Workspace:
    """A test's own: filled if it asks for a `registered` registry."""
    place.reset(request.getfixturevalue("filled") if "registered" in request.fixturenames else empty)
    return place


@pytest.fixture
def store(workspace: Workspace) -> ReleaseStore:
    return ReleaseStore(workspace.home.store)


@pytest.fixture
def registry(workspace: Workspace) -> Registry:
    """Without a model."""
    return workspace.open()


@pytest.fixture
def registered(workspace: Workspace) -> Registry:
    """With all of `releases`."""
    return workspace.open()


@pytest.fixture(scope="session")
def promoted(filled: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """With 1.0.0, 1.0.1 and 1.1.0 promoted in turn."""
    workspace = filled.copy(tmp_path_factory.mktemp("promoted"))
    registry = workspace.open()
    for version in ("1.0.0", "1.0.1", "1.1.0"):
        registry.promote(MODEL, version, "to see")
    return workspace


@pytest.fixture
def moved(workspace: Workspace, promoted: Workspace) -> Registry:
    """A registry whose champions were 1.0.0, 1.0.1 and 1.1.0."""
    workspace.reset(promoted)
    return workspace.open()
