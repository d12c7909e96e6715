"""What is changed in MLflow by its own client: numbers are never assigned twice, and every version can serve."""

from datetime import timedelta
from typing import Final

import pytest
from support.registries import MODEL, Workspace

from athanor.errors import NotFoundError
from athanor.registry.care.retention import collect
from athanor.registry.registry import Registry
from athanor.release.files import Release, read_release

_WHY: Final = "to see"


def _numbers(registry: Registry) -> dict[str, str]:
    return {version.digest: version.semantic_version for version in registry.list_versions(MODEL)}


def _delete(registry: Registry, version: str) -> None:
    registry.client.delete_model_version(MODEL, str(registry.find_version(MODEL, version).number))


def _register_new(registry: Registry, workspace: Workspace) -> str:
    """Registers a release of the same recipe as 1.1.0, on other data; returns its number."""
    folder = workspace.train(snapshot="8" * 64, algorithm="other")
    version, is_new = registry.register(read_release(folder))
    assert is_new
    return version.semantic_version


@pytest.mark.parametrize("deleted", [["1.1.0"], ["1.0.1", "1.1.0"], ["1.0.0", "1.0.1", "1.1.0"]])
def test_the_number_of_a_deleted_version_is_not_assigned_again(
    moved: Registry, workspace: Workspace, deleted: list[str]
) -> None:
    for version in deleted:
        _delete(moved, version)
    assert _register_new(moved, workspace) == "1.1.1"


def test_the_numbers_of_a_deleted_model_are_not_assigned_again(moved: Registry, workspace: Workspace) -> None:
    moved.client.delete_registered_model(MODEL)
    assert _register_new(moved, workspace) == "1.1.1"


def test_numbers_go_on_after_a_version_that_is_lost_altogether(moved: Registry, workspace: Workspace) -> None:
    """Compared with the newest release that there is, 1.0.1."""
    digest = moved.find_version(MODEL, "1.1.0").digest
    _delete(moved, "1.1.0")
    moved.store.remove(MODEL, digest)
    assert _register_new(moved, workspace) == "1.2.0"


def test_without_any_release_to_compare_with_no_number_is_assigned(moved: Registry, workspace: Workspace) -> None:
    moved.client.delete_registered_model(MODEL)
    for digest in moved.store.list_digests(MODEL):
        moved.store.remove(MODEL, digest)
    folder = workspace.train(snapshot="8" * 64)
    with pytest.raises(NotFoundError, match="there is no release"):
        moved.register(read_release(folder))


def test_a_deleted_release_that_is_registered_again_keeps_its_number(moved: Registry, releases: list[Release]) -> None:
    before = _numbers(moved)
    _delete(moved, "1.0.1")
    version, is_new = moved.register(releases[1])
    assert (version.semantic_version, is_new) == ("1.0.1", False)
    assert _numbers(moved) == before
    assert [found.semantic_version for found in moved.list_versions(MODEL)] == ["1.1.0", "1.0.1", "1.0.0"]


def test_a_rollback_to_a_deleted_version_restores_it(moved: Registry, releases: list[Release]) -> None:
    _delete(moved, "1.0.1")
    assert moved.rollback(MODEL, _WHY).require_champion().digest == releases[1].digest
    assert moved.find_version(MODEL, "1.0.1").aliases == ("champion",)


@pytest.mark.parametrize("reference", ["1.0.1", "digest"])
def test_a_deleted_version_can_still_take_a_part(moved: Registry, releases: list[Release], reference: str) -> None:
    _delete(moved, "1.0.1")
    moved.challenge(MODEL, releases[1].digest if reference == "digest" else reference, 0.1, _WHY)
    assert moved.find_version(MODEL, "1.0.1").aliases == ("challenger",)


def test_a_reader_of_a_deleted_version_says_how_to_restore_it(moved: Registry) -> None:
    _delete(moved, "1.0.1")
    with pytest.raises(NotFoundError, match=r"1\.0\.1 of delays was deleted in MLflow; .*doctor --mend"):
        moved.find_version(MODEL, "1.0.1")


def test_retention_keeps_the_release_of_a_deleted_version(moved: Registry, workspace: Workspace) -> None:
    _delete(moved, "1.0.0")
    collected = collect(moved, workspace.home, MODEL, timedelta(0))
    assert (collected.published, collected.registered) == ((), 3)
    moved.rollback(MODEL, _WHY)
    assert moved.rollback(MODEL, _WHY).require_champion().semantic_version == "1.0.0"
