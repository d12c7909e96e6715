"""The registry: versions, champions, and a history that only grows."""

import getpass
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from support.registries import MODEL, Workspace
from support.wires import make_release_of, repackage

from athanor.errors import InputError, NotFoundError, ReleaseError
from athanor.registry.history import CHAMPION
from athanor.registry.registry import Registry
from athanor.release.files import GRAPH, TRAINING, Release, read_release
from athanor.release.store import ReleaseStore

_WHY: Final = "to see"


def _versions(registry: Registry) -> list[str]:
    return [version.semantic_version for version in registry.list_versions(MODEL)]


def test_an_empty_registry_has_no_versions_and_no_moves(registry: Registry) -> None:
    assert registry.list_versions(MODEL) == []
    assert registry.list_moves(MODEL) == []


def test_the_first_release_is_1_0_0_and_published(
    registry: Registry, store: ReleaseStore, releases: list[Release]
) -> None:
    version, is_new = registry.register(releases[0])
    assert is_new
    assert (version.model, version.number, version.semantic_version) == (MODEL, 1, "1.0.0")
    assert (version.digest, version.aliases) == (releases[0].digest, ())
    assert store.read(MODEL, version.digest).files == releases[0].files


def test_later_releases_are_numbered_by_what_changed(registered: Registry, releases: list[Release]) -> None:
    assert _versions(registered) == ["1.1.0", "1.0.1", "1.0.0"]
    assert [version.digest for version in registered.list_versions(MODEL)] == [r.digest for r in releases[::-1]]


def test_an_identical_release_gets_no_second_version(registered: Registry, releases: list[Release]) -> None:
    for release, expected in zip(releases, ("1.0.0", "1.0.1", "1.1.0"), strict=True):
        version, is_new = registered.register(release)
        assert (version.semantic_version, is_new) == (expected, False)
    assert len(_versions(registered)) == 3


def test_registering_alone_takes_no_traffic(registered: Registry, store: ReleaseStore) -> None:
    with pytest.raises(NotFoundError, match="no release of delays takes traffic"):
        store.read_traffic(MODEL)


def test_a_registered_release_whose_copy_was_removed_is_published_again(
    registered: Registry, workspace: Workspace, store: ReleaseStore, releases: list[Release]
) -> None:
    shutil.rmtree(workspace.home.store / "releases" / MODEL / releases[0].digest)
    registered.register(releases[0])
    assert store.read(MODEL, releases[0].digest).files == releases[0].files


def test_a_number_is_never_given_after_a_release_that_was_tampered_with(
    registry: Registry, workspace: Workspace, releases: list[Release]
) -> None:
    registry.register(releases[0])
    (workspace.home.store / "releases" / MODEL / releases[0].digest / GRAPH).write_bytes(b"")
    with pytest.raises(ReleaseError, match=GRAPH):
        registry.register(releases[1])
    assert _versions(registry) == ["1.0.0"]


def test_what_was_registered_outlives_the_process(registered: Registry, workspace: Workspace) -> None:
    registered.promote(MODEL, "1.0.0", _WHY)
    again = workspace.open()
    assert again.list_versions(MODEL) == registered.list_versions(MODEL)
    assert again.list_moves(MODEL) == registered.list_moves(MODEL)


def test_promoting_publishes_the_traffic_file(
    registered: Registry, workspace: Workspace, store: ReleaseStore, releases: list[Release]
) -> None:
    traffic = registered.promote(MODEL, "1.0.1", _WHY)
    assert store.read_traffic(MODEL) == traffic
    written = json.loads((workspace.home.store / "traffic" / f"{MODEL}.json").read_text())
    assert written == {
        "model": MODEL,
        "revision": 1,
        "champion": {"digest": releases[1].digest, "semantic_version": "1.0.1"},
        "challenger": None,
        "shadow": None,
    }


def test_one_version_is_champion(registered: Registry) -> None:
    for semantic_version in ("1.0.0", "1.1.0"):
        registered.promote(MODEL, semantic_version, _WHY)
    aliases = {version.semantic_version: version.aliases for version in registered.list_versions(MODEL)}
    assert aliases == {"1.1.0": (CHAMPION,), "1.0.1": (), "1.0.0": ()}


def test_promoting_the_champion_is_no_move(registered: Registry) -> None:
    first = registered.promote(MODEL, "1.0.0", _WHY)
    assert registered.promote(MODEL, "1.0.0", _WHY) == first
    assert len(registered.list_moves(MODEL)) == 1


def test_promoting_the_champion_mends_a_lost_traffic_file(
    registered: Registry, workspace: Workspace, store: ReleaseStore
) -> None:
    """As after a crash between the record and the file."""
    traffic = registered.promote(MODEL, "1.0.0", _WHY)
    (workspace.home.store / "traffic" / f"{MODEL}.json").unlink()
    registered.promote(MODEL, "1.0.0", _WHY)
    assert store.read_traffic(MODEL) == traffic


def test_every_move_is_recorded_in_order(registered: Registry, releases: list[Release]) -> None:
    registered.promote(MODEL, "1.0.0", _WHY)
    registered.promote(MODEL, "1.1.0", _WHY)
    registered.rollback(MODEL, _WHY)
    moves = registered.list_moves(MODEL)
    assert [(move.revision, move.kind, move.semantic_version, move.digest) for move in moves] == [
        (1, "promote", "1.0.0", releases[0].digest),
        (2, "promote", "1.1.0", releases[2].digest),
        (3, "rollback", "1.0.0", releases[0].digest),
    ]
    assert [(move.from_version, move.from_digest) for move in moves] == [
        (None, None),
        ("1.0.0", releases[0].digest),
        ("1.1.0", releases[2].digest),
    ]
    assert all(move.by and move.at.endswith("+00:00") for move in moves)
    assert [move.gates for move in moves] == ["1 of 1 passed"] * 3


def test_every_move_keeps_its_reason(registered: Registry) -> None:
    registered.promote(MODEL, "1.0.0", " the first ")
    registered.promote(MODEL, "1.1.0", "it's better, „besser“")
    registered.rollback(MODEL, "it is not")
    assert [move.why for move in registered.list_moves(MODEL)] == ["the first", "it's better, „besser“", "it is not"]


@pytest.mark.parametrize("why", ["", "  "])
def test_without_a_reason_nothing_moves(registered: Registry, why: str) -> None:
    with pytest.raises(InputError, match="promote of delays needs a reason"):
        registered.promote(MODEL, "1.0.0", why)
    registered.promote(MODEL, "1.0.0", _WHY)
    registered.promote(MODEL, "1.1.0", _WHY)
    with pytest.raises(InputError, match="rollback of delays needs a reason"):
        registered.rollback(MODEL, why)
    assert len(registered.list_moves(MODEL)) == 2


def test_a_version_is_also_found_by_how_its_digest_begins(registered: Registry, releases: list[Release]) -> None:
    assert registered.promote(MODEL, releases[1].digest[:6], _WHY).require_champion().semantic_version == "1.0.1"
    with pytest.raises(NotFoundError, match=f"no version {releases[1].digest[:5]};"):
        registered.promote(MODEL, releases[1].digest[:5], _WHY)


def test_a_damaged_version_never_becomes_champion(
    registered: Registry, workspace: Workspace, store: ReleaseStore, releases: list[Release]
) -> None:
    traffic = registered.promote(MODEL, "1.0.0", _WHY)
    (workspace.home.store / "releases" / MODEL / releases[1].digest / GRAPH).write_bytes(b"")
    with pytest.raises(ReleaseError, match=GRAPH):
        registered.promote(MODEL, "1.0.1", _WHY)
    assert store.read_traffic(MODEL) == traffic
    assert len(registered.list_moves(MODEL)) == 1


def test_a_release_of_what_was_not_committed_is_refused_and_says_what_to_do(
    registry: Registry, workspace: Workspace, store: ReleaseStore
) -> None:
    dirty = {"is_clean": False}
    for paths, named in (
        ([], r"uncommitted changes, and could"),
        (["src/a.py", "notes.txt"], r"uncommitted changes of src/a\.py, notes\.txt, and could"),
        ([f"{number}.py" for number in range(12)], r"of 0\.py, 1\.py, .*, 9\.py and 2 more, and could"),
    ):
        release = read_release(workspace.train(provenance=dirty, record={"uncommitted": paths}, seed=20 + len(paths)))
        with pytest.raises(InputError, match=rf"{named} .*[Cc]ommit them and train again, or .* --allow-dirty"):
            registry.register(release)
    outside = read_release(workspace.train(provenance={**dirty, "commit": ""}, seed=7))
    with pytest.raises(InputError, match="was trained outside of a Git repository"):
        registry.register(outside)
    assert registry.list_versions(MODEL) == []
    assert list(store.list_digests(MODEL)) == []


def test_allowed_all_the_same_it_stays_marked(
    registry: Registry, workspace: Workspace, releases: list[Release]
) -> None:
    dirty = read_release(workspace.train(provenance={"is_clean": False}, seed=7))
    version, is_new = registry.register(dirty, allow_dirty=True)
    registry.register(releases[0], allow_dirty=True)
    assert (version.is_clean, is_new) == (False, True)
    assert {v.digest: v.is_clean for v in workspace.open().list_versions(MODEL)} == {
        dirty.digest: False,
        releases[0].digest: True,
    }


def test_a_release_that_does_not_tell_of_its_training_is_refused(registry: Registry, releases: list[Release]) -> None:
    files = {name: content for name, content in releases[0].files.items() if name != TRAINING}
    with pytest.raises(ReleaseError, match=f"contains no {TRAINING}"):
        registry.register(replace(releases[0], files=files))
    with pytest.raises(ReleaseError, match="is not a record of a training"):
        registry.register(replace(releases[0], files={**files, TRAINING: b"{}"}))
    assert registry.list_versions(MODEL) == []


def test_more_than_nine_moves_stay_in_order(registered: Registry) -> None:
    expected = [("1.0.0", "1.1.0")[turn % 2] for turn in range(11)]
    for semantic_version in expected:
        registered.promote(MODEL, semantic_version, _WHY)
    moves = registered.list_moves(MODEL)
    assert [move.revision for move in moves] == list(range(1, 12))
    assert [move.semantic_version for move in moves] == expected


def test_rolling_back_serves_the_champion_before(registered: Registry, store: ReleaseStore) -> None:
    registered.promote(MODEL, "1.0.0", _WHY)
    registered.promote(MODEL, "1.1.0", _WHY)
    traffic = registered.rollback(MODEL, _WHY)
    assert (traffic.revision, traffic.require_champion().semantic_version) == (3, "1.0.0")
    assert store.read_traffic(MODEL) == traffic


def test_rolling_back_twice_goes_two_back(registered: Registry) -> None:
    for semantic_version in ("1.0.0", "1.0.1", "1.1.0"):
        registered.promote(MODEL, semantic_version, _WHY)
    assert registered.rollback(MODEL, _WHY).require_champion().semantic_version == "1.0.1"
    assert registered.rollback(MODEL, _WHY).require_champion().semantic_version == "1.0.0"
    with pytest.raises(NotFoundError, match="delays has no earlier champion to roll back to"):
        registered.rollback(MODEL, _WHY)
    assert len(registered.list_moves(MODEL)) == 5


def test_after_rolling_back_one_can_go_forward_and_back_again(registered: Registry) -> None:
    registered.promote(MODEL, "1.0.0", _WHY)
    registered.promote(MODEL, "1.0.1", _WHY)
    registered.rollback(MODEL, _WHY)
    registered.promote(MODEL, "1.1.0", _WHY)
    assert registered.rollback(MODEL, _WHY).require_champion().semantic_version == "1.0.0"


@pytest.mark.parametrize("promoted", [(), ("1.0.0",)])
def test_without_an_earlier_champion_there_is_nothing_to_roll_back_to(
    registered: Registry, promoted: tuple[str, ...]
) -> None:
    for semantic_version in promoted:
        registered.promote(MODEL, semantic_version, _WHY)
    with pytest.raises(NotFoundError, match="no earlier champion"):
        registered.rollback(MODEL, _WHY)
    assert len(registered.list_moves(MODEL)) == len(promoted)


@pytest.mark.parametrize("semantic_version", ["2.0.0", "1", "", "1.0.0 "])
def test_an_unknown_version_is_named_beside_the_known_ones(registered: Registry, semantic_version: str) -> None:
    with pytest.raises(NotFoundError, match=f"no version {semantic_version}; registered are: 1.1.0, 1.0.1, 1.0.0"):
        registered.promote(MODEL, semantic_version, _WHY)
    assert registered.list_moves(MODEL) == []


@pytest.mark.parametrize("model", ["weather", "it's", ""])
def test_a_model_that_was_never_registered_has_no_versions(registered: Registry, model: str) -> None:
    with pytest.raises(NotFoundError, match="registered are: none"):
        registered.promote(model, "1.0.0", _WHY)


def test_models_are_numbered_each_by_itself(registered: Registry, tmp_path: Path) -> None:
    version, _ = registered.register(make_release_of(tmp_path / "other", repackage("weather.v1")))
    assert (version.model, version.semantic_version) == ("weather", "1.0.0")
    assert len(_versions(registered)) == 3


def test_who_has_no_name_is_recorded_by_number(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", find_nobody)
    registry = filled.copy(tmp_path).open()
    registry.promote(MODEL, "1.0.0", _WHY)
    assert registry.list_moves(MODEL)[-1].by == f"uid {os.getuid()}"
