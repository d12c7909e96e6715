"""What can go goes, and a registered version never does."""

import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from support.registries import MODEL, Workspace

from athanor.errors import ConflictError
from athanor.registry.care.retention import collect
from athanor.registry.registry import Registry
from athanor.release.files import Release, read_release
from athanor.release.traffic import Served, Traffic

_MONTH: Final = timedelta(days=30)


def _age(path: Path, days: int) -> Path:
    long_ago = time.time() - days * 86_400
    for entry in (*path.rglob("*"), path):
        os.utime(entry, (long_ago, long_ago))
    return path


def _train(workspace: Workspace, seed: int, days: int) -> str:
    return _age(workspace.train(seed=seed), days).name


def _publish_alone(workspace: Workspace, digest: str) -> Path:
    return Path(
        shutil.copytree(workspace.home.candidates / MODEL / digest, workspace.home.store / "releases" / MODEL / digest)
    )


def _candidates(workspace: Workspace) -> set[str]:
    return {path.name for path in (workspace.home.candidates / MODEL).iterdir()}


def test_old_unregistered_candidates_are_removed(
    registered: Registry, workspace: Workspace, releases: list[Release]
) -> None:
    old, young = _train(workspace, 1, days=31), _train(workspace, 2, days=29)
    _age(workspace.home.candidates / MODEL / releases[0].digest, 365)
    done = collect(registered, workspace.home, MODEL, _MONTH)
    assert (done.candidates, done.published, done.registered) == ((old,), (), 3)
    assert _candidates(workspace) == {young, *(release.digest for release in releases)}


def test_a_dry_run_removes_nothing(registered: Registry, workspace: Workspace) -> None:
    old = _train(workspace, 1, days=31)
    _publish_alone(workspace, old)
    before = _candidates(workspace)
    done = collect(registered, workspace.home, MODEL, _MONTH, dry_run=True)
    assert (done.candidates, done.published) == ((old,), (old,))
    assert _candidates(workspace) == before
    assert registered.store.read(MODEL, old).digest == old
    assert collect(registered, workspace.home, MODEL, _MONTH) == done


def test_published_releases_without_a_version_go(
    registered: Registry, workspace: Workspace, releases: list[Release]
) -> None:
    old = _train(workspace, 1, days=31)
    _publish_alone(workspace, old)
    assert collect(registered, workspace.home, MODEL, _MONTH).published == (old,)
    assert set(registered.store.list_digests(MODEL)) == {release.digest for release in releases}


def test_a_young_release_of_the_store_stays(registered: Registry, workspace: Workspace) -> None:
    """It may be about to be registered, by a process that died and by the doctor then."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    young = workspace.train(seed=1, provenance={"created_at": now}).name
    _publish_alone(workspace, young)
    assert collect(registered, workspace.home, MODEL, _MONTH).published == ()
    assert registered.store.read(MODEL, young).digest == young


def test_uploads_that_were_never_finished_go(registered: Registry, workspace: Workspace) -> None:
    folders = [
        workspace.home.candidates / MODEL / ".arriving-candidate",
        workspace.home.store / "releases" / MODEL / ".arriving-release",
        workspace.home.registry / ".arriving-database",
    ]
    for folder in folders:
        folder.mkdir()
        (folder / "part").touch()
        _age(folder, 31)
    collect(registered, workspace.home, MODEL, _MONTH, dry_run=True)
    assert all(folder.exists() for folder in folders)
    collect(registered, workspace.home, MODEL, _MONTH)
    assert not any(folder.exists() for folder in folders)


def test_the_registry_of_another_store_removes_nothing(
    registered: Registry,
    workspace: Workspace,
    empty: Workspace,
    releases: list[Release],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To it, no release of the store has a version."""
    registered.promote(MODEL, "1.0.0", "to see")
    shutil.copy(empty.home.registry / "mlflow.db", workspace.path / "other.db")
    monkeypatch.setenv("ATHANOR_REGISTRY_URL", f"sqlite:///{workspace.path}/other.db")
    other = workspace.open()
    with pytest.raises(
        ConflictError, match=r"names release [0-9a-f]{12} as champion, which has no version in .*other.db"
    ):
        collect(other, workspace.home, MODEL, timedelta(0))
    for release in releases:
        assert registered.store.read(MODEL, release.digest).files == release.files


def test_what_stays_can_be_served_and_registered(
    registered: Registry, workspace: Workspace, releases: list[Release]
) -> None:
    registered.promote(MODEL, "1.0.0", "to see")
    collect(registered, workspace.home, MODEL, timedelta(0))
    for release in releases:
        assert registered.store.read(MODEL, release.digest).files == release.files
        assert read_release(workspace.home.candidates / MODEL / release.digest).digest == release.digest
    assert [version.semantic_version for version in registered.list_versions(MODEL)] == ["1.1.0", "1.0.1", "1.0.0"]


def test_challenger_and_shadow_stay_however_old_they_are(
    registered: Registry, workspace: Workspace, releases: list[Release]
) -> None:
    registered.promote(MODEL, "1.0.0", "to see")
    registered.challenge(MODEL, "1.0.1", 0.1, "to try")
    registered.shadow(MODEL, "1.1.0", "to compare")
    done = collect(registered, workspace.home, MODEL, timedelta(0))
    assert (done.candidates, done.published) == ((), ())
    for served in registered.store.read_traffic(MODEL).served.values():
        assert registered.store.read(MODEL, served.digest).digest == served.digest


def test_a_pinned_version_stays_however_old_it_is(
    registered: Registry, workspace: Workspace, releases: list[Release]
) -> None:
    registered.promote(MODEL, "1.1.0", "to see")
    registered.pin(MODEL, "1.0.0", "for the old app")
    done = collect(registered, workspace.home, MODEL, timedelta(0))
    assert (done.candidates, done.published) == ((), ())
    assert registered.store.read(MODEL, releases[0].digest).digest == releases[0].digest


def test_while_a_pinned_release_is_of_another_registry_nothing_is_removed(
    registered: Registry, workspace: Workspace
) -> None:
    old = _train(workspace, 1, days=31)
    _publish_alone(workspace, old)
    traffic = registered.promote(MODEL, "1.0.0", "to see")
    stranger = Served(digest=old, semantic_version="7.0.0")
    registered.store.write_traffic(traffic.model_copy(update={"pinned": (stranger,)}))
    with pytest.raises(ConflictError, match=f"names release {old[:12]} as pinned, which"):
        collect(registered, workspace.home, MODEL, _MONTH)


@pytest.mark.parametrize("variant", ["challenger", "shadow"])
def test_while_a_variant_is_of_another_registry_nothing_is_removed(
    registered: Registry, workspace: Workspace, variant: str
) -> None:
    old = _train(workspace, 1, days=31)
    _publish_alone(workspace, old)
    traffic = registered.promote(MODEL, "1.0.0", "to see")
    stranger = {"digest": old, "semantic_version": "7.0.0", **({"weight": 0.5} if variant == "challenger" else {})}
    registered.store.write_traffic(Traffic.model_validate({**traffic.model_dump(), variant: stranger}))
    with pytest.raises(ConflictError, match=f"names release {old[:12]} as {variant}, which"):
        collect(registered, workspace.home, MODEL, _MONTH)
    assert registered.store.read(MODEL, old).digest == old
