"""The registry: versions, champions, and a history that only grows."""

import getpass
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.releases import make_release

from athanor.errors import NotFoundError, ReleaseError
from athanor.registry.registry import CHAMPION, Registry
from athanor.release.files import GRAPH, Release
from athanor.release.store import ReleaseStore

_MODEL = "flight_delay"


@dataclass(frozen=True)
class _Place:
    """Folders of a registry and its store, and the releases that were made for it."""

    path: Path

    @property
    def store(self) -> ReleaseStore:
        return ReleaseStore(self.path / "store")

    def open(self) -> Registry:
        return Registry(self.path / "registry", self.store)

    def copy(self, to: Path) -> "_Place":
        """Making a database and registering take seconds, a copy none."""
        return _Place(shutil.copytree(self.path, to / "place"))


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Release]:
    """1.0.0, 1.0.1 with new data, 1.1.0 with another algorithm."""
    folder = tmp_path_factory.mktemp("candidates")
    changes: list[dict[str, Any]] = [{}, {"snapshot": "6" * 64}, {"snapshot": "6" * 64, "algorithm": "other"}]
    return [make_release(folder, **changed) for changed in changes]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> _Place:
    place = _Place(tmp_path_factory.mktemp("empty"))
    place.open().list_versions(_MODEL)
    return place


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, empty: _Place, releases: list[Release]) -> _Place:
    place = empty.copy(tmp_path_factory.mktemp("filled"))
    registry = place.open()
    for release in releases:
        registry.register(release)
    return place


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, empty: _Place) -> _Place:
    """A test's own: filled if it asks for a `registered` registry."""
    made: _Place = request.getfixturevalue("filled") if "registered" in request.fixturenames else empty
    return made.copy(tmp_path)


@pytest.fixture
def store(place: _Place) -> ReleaseStore:
    return place.store


@pytest.fixture
def registry(place: _Place) -> Registry:
    """Without a model."""
    return place.open()


@pytest.fixture
def registered(place: _Place) -> Registry:
    """With all of `releases`."""
    return place.open()


def _versions(registry: Registry) -> list[str]:
    return [version.semantic_version for version in registry.list_versions(_MODEL)]


def test_an_empty_registry_has_no_versions_and_no_moves(registry: Registry) -> None:
    assert registry.list_versions(_MODEL) == []
    assert registry.list_moves(_MODEL) == []


def test_the_first_release_is_1_0_0_and_published(
    registry: Registry, store: ReleaseStore, releases: list[Release]
) -> None:
    version, is_new = registry.register(releases[0])
    assert is_new
    assert (version.model, version.number, version.semantic_version) == (_MODEL, 1, "1.0.0")
    assert (version.digest, version.aliases) == (releases[0].digest, ())
    assert store.read(_MODEL, version.digest).files == releases[0].files


def test_later_releases_are_numbered_by_what_changed(registered: Registry, releases: list[Release]) -> None:
    assert _versions(registered) == ["1.1.0", "1.0.1", "1.0.0"]
    assert [version.digest for version in registered.list_versions(_MODEL)] == [r.digest for r in releases[::-1]]


def test_an_identical_release_gets_no_second_version(registered: Registry, releases: list[Release]) -> None:
    for release, expected in zip(releases, ("1.0.0", "1.0.1", "1.1.0"), strict=True):
        version, is_new = registered.register(release)
        assert (version.semantic_version, is_new) == (expected, False)
    assert len(_versions(registered)) == 3


def test_registering_alone_takes_no_traffic(registered: Registry, store: ReleaseStore) -> None:
    with pytest.raises(NotFoundError, match="no release of flight_delay takes traffic"):
        store.read_traffic(_MODEL)


def test_a_registered_release_whose_copy_was_removed_is_published_again(
    registered: Registry, store: ReleaseStore, releases: list[Release]
) -> None:
    shutil.rmtree(store.folder / "releases" / _MODEL / releases[0].digest)
    registered.register(releases[0])
    assert store.read(_MODEL, releases[0].digest).files == releases[0].files


def test_a_number_is_never_given_after_a_release_that_was_tampered_with(
    registry: Registry, store: ReleaseStore, releases: list[Release]
) -> None:
    registry.register(releases[0])
    (store.folder / "releases" / _MODEL / releases[0].digest / GRAPH).write_bytes(b"")
    with pytest.raises(ReleaseError, match=GRAPH):
        registry.register(releases[1])
    assert _versions(registry) == ["1.0.0"]


def test_what_was_registered_outlives_the_process(registered: Registry, place: _Place) -> None:
    registered.promote(_MODEL, "1.0.0")
    again = place.open()
    assert again.list_versions(_MODEL) == registered.list_versions(_MODEL)
    assert again.list_moves(_MODEL) == registered.list_moves(_MODEL)


def test_promoting_publishes_the_traffic_file(
    registered: Registry, store: ReleaseStore, releases: list[Release]
) -> None:
    traffic = registered.promote(_MODEL, "1.0.1")
    assert store.read_traffic(_MODEL) == traffic
    written = json.loads((store.folder / "traffic" / f"{_MODEL}.json").read_text())
    assert written == {
        "model": _MODEL,
        "revision": 1,
        "champion": {"digest": releases[1].digest, "semantic_version": "1.0.1"},
    }


def test_one_version_is_champion(registered: Registry) -> None:
    for semantic_version in ("1.0.0", "1.1.0"):
        registered.promote(_MODEL, semantic_version)
    aliases = {version.semantic_version: version.aliases for version in registered.list_versions(_MODEL)}
    assert aliases == {"1.1.0": (CHAMPION,), "1.0.1": (), "1.0.0": ()}


def test_promoting_the_champion_is_no_move(registered: Registry) -> None:
    first = registered.promote(_MODEL, "1.0.0")
    assert registered.promote(_MODEL, "1.0.0") == first
    assert len(registered.list_moves(_MODEL)) == 1


def test_promoting_the_champion_mends_a_lost_traffic_file(registered: Registry, store: ReleaseStore) -> None:
    """As after a crash between the record and the file."""
    traffic = registered.promote(_MODEL, "1.0.0")
    (store.folder / "traffic" / f"{_MODEL}.json").unlink()
    registered.promote(_MODEL, "1.0.0")
    assert store.read_traffic(_MODEL) == traffic


def test_every_move_is_recorded_in_order(registered: Registry, releases: list[Release]) -> None:
    registered.promote(_MODEL, "1.0.0")
    registered.promote(_MODEL, "1.1.0")
    registered.rollback(_MODEL)
    moves = registered.list_moves(_MODEL)
    assert [(move.revision, move.kind, move.semantic_version, move.digest) for move in moves] == [
        (1, "promote", "1.0.0", releases[0].digest),
        (2, "promote", "1.1.0", releases[2].digest),
        (3, "rollback", "1.0.0", releases[0].digest),
    ]
    assert all(move.by and move.at.endswith("+00:00") for move in moves)


def test_more_than_nine_moves_stay_in_order(registered: Registry) -> None:
    expected = [("1.0.0", "1.1.0")[turn % 2] for turn in range(11)]
    for semantic_version in expected:
        registered.promote(_MODEL, semantic_version)
    moves = registered.list_moves(_MODEL)
    assert [move.revision for move in moves] == list(range(1, 12))
    assert [move.semantic_version for move in moves] == expected


def test_rolling_back_serves_the_champion_before(registered: Registry, store: ReleaseStore) -> None:
    registered.promote(_MODEL, "1.0.0")
    registered.promote(_MODEL, "1.1.0")
    traffic = registered.rollback(_MODEL)
    assert (traffic.revision, traffic.champion.semantic_version) == (3, "1.0.0")
    assert store.read_traffic(_MODEL) == traffic


def test_rolling_back_twice_goes_two_back(registered: Registry) -> None:
    for semantic_version in ("1.0.0", "1.0.1", "1.1.0"):
        registered.promote(_MODEL, semantic_version)
    assert registered.rollback(_MODEL).champion.semantic_version == "1.0.1"
    assert registered.rollback(_MODEL).champion.semantic_version == "1.0.0"
    with pytest.raises(NotFoundError, match="flight_delay has no earlier champion to roll back to"):
        registered.rollback(_MODEL)
    assert len(registered.list_moves(_MODEL)) == 5


def test_after_rolling_back_one_can_go_forward_and_back_again(registered: Registry) -> None:
    registered.promote(_MODEL, "1.0.0")
    registered.promote(_MODEL, "1.0.1")
    registered.rollback(_MODEL)
    registered.promote(_MODEL, "1.1.0")
    assert registered.rollback(_MODEL).champion.semantic_version == "1.0.0"


@pytest.mark.parametrize("promoted", [(), ("1.0.0",)])
def test_without_an_earlier_champion_there_is_nothing_to_roll_back_to(
    registered: Registry, promoted: tuple[str, ...]
) -> None:
    for semantic_version in promoted:
        registered.promote(_MODEL, semantic_version)
    with pytest.raises(NotFoundError, match="no earlier champion"):
        registered.rollback(_MODEL)
    assert len(registered.list_moves(_MODEL)) == len(promoted)


@pytest.mark.parametrize("semantic_version", ["2.0.0", "1", "", "1.0.0 "])
def test_an_unknown_version_is_named_beside_the_known_ones(registered: Registry, semantic_version: str) -> None:
    with pytest.raises(NotFoundError, match=f"no version {semantic_version}; registered are: 1.1.0, 1.0.1, 1.0.0"):
        registered.promote(_MODEL, semantic_version)
    assert registered.list_moves(_MODEL) == []


@pytest.mark.parametrize("model", ["weather", "it's", ""])
def test_a_model_that_was_never_registered_has_no_versions(registered: Registry, model: str) -> None:
    with pytest.raises(NotFoundError, match="registered are: none"):
        registered.promote(model, "1.0.0")


def test_models_are_numbered_each_by_itself(registered: Registry, tmp_path: Path) -> None:
    version, _ = registered.register(make_release(tmp_path / "other", model="weather"))
    assert (version.model, version.semantic_version) == ("weather", "1.0.0")
    assert len(_versions(registered)) == 3


def test_who_has_no_name_is_recorded_by_number(filled: _Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", find_nobody)
    registry = filled.copy(tmp_path).open()
    registry.promote(_MODEL, "1.0.0")
    assert registry.list_moves(_MODEL)[-1].by == f"uid {os.getuid()}"
