"""Registries that the tests of this folder begin with."""

from pathlib import Path
from typing import Any

import pytest
from support.registries import MODEL, Place

from athanor.registry.registry import Registry
from athanor.release.files import Release, read_release
from athanor.release.store import ReleaseStore


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ATHANOR_REGISTRY_URL", "ATHANOR_ARTIFACTS_URL", "ATHANOR_STORE_URL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Without a model; with the releases of `releases` as candidates."""
    place = Place(tmp_path_factory.mktemp("empty"))
    changes: list[dict[str, Any]] = [{}, {"snapshot": "6" * 64}, {"snapshot": "6" * 64, "algorithm": "other"}]
    for changed in changes:
        place.train(**changed)
    place.open()
    return place


@pytest.fixture(scope="session")
def releases(empty: Place) -> list[Release]:
    """1.0.0, 1.0.1 with new data, 1.1.0 with another algorithm."""
    found = [read_release(folder) for folder in (empty.home.candidates / MODEL).iterdir()]
    return sorted(found, key=lambda release: (release.identity.algorithm == "other", release.identity.snapshot))


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, empty: Place, releases: list[Release]) -> Place:
    """With all of `releases` registered."""
    place = empty.copy(tmp_path_factory.mktemp("filled"))
    registry = place.open()
    for release in releases:
        registry.register(release)
    return place


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, empty: Place) -> Place:
    """A test's own: filled if it asks for a `registered` registry."""
    made: Place = request.getfixturevalue("filled") if "registered" in request.fixturenames else empty
    return made.copy(tmp_path)


@pytest.fixture
def store(place: Place) -> ReleaseStore:
    return ReleaseStore(place.home.store)


@pytest.fixture
def registry(place: Place) -> Registry:
    """Without a model."""
    return place.open()


@pytest.fixture
def registered(place: Place) -> Registry:
    """With all of `releases`."""
    return place.open()
