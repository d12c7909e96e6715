"""What can go goes, and a registered version never does."""

import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from support.registries import MODEL, Place

from athanor.errors import ConflictError
from athanor.registry.care.retention import collect
from athanor.registry.registry import Registry
from athanor.release.files import Release, read_release
from athanor.release.traffic import Traffic

_MONTH: Final = timedelta(days=30)


def _age(path: Path, days: int) -> Path:
    long_ago = time.time() - days * 86_400
    for entry in (*path.rglob("*"), path):
        os.utime(entry, (long_ago, long_ago))
    return path


def _train(place: Place, seed: int, days: int) -> str:
    return _age(place.train(seed=seed), days).name


def _publish_alone(place: Place, digest: str) -> Path:
    return Path(shutil.copytree(place.home.candidates / MODEL / digest, place.home.store / "releases" / MODEL / digest))


def _candidates(place: Place) -> set[str]:
    return {path.name for path in (place.home.candidates / MODEL).iterdir()}


def test_old_candidates_that_nobody_registered_go(registered: Registry, place: Place, releases: list[Release]) -> None:
    old, young = _train(place, 1, days=31), _train(place, 2, days=29)
    _age(place.home.candidates / MODEL / releases[0].digest, 365)
    done = collect(registered, place.home, MODEL, _MONTH)
    assert (done.candidates, done.published, done.registered) == ((old,), (), 3)
    assert _candidates(place) == {young, *(release.digest for release in releases)}


def test_a_dry_run_removes_nothing(registered: Registry, place: Place) -> None:
    old = _train(place, 1, days=31)
    _publish_alone(place, old)
    before = _candidates(place)
    done = collect(registered, place.home, MODEL, _MONTH, dry_run=True)
    assert (done.candidates, done.published) == ((old,), (old,))
    assert _candidates(place) == before
    assert registered.store.read(MODEL, old).digest == old
    assert collect(registered, place.home, MODEL, _MONTH) == done


def test_published_releases_without_a_version_go(registered: Registry, place: Place, releases: list[Release]) -> None:
    old = _train(place, 1, days=31)
    _publish_alone(place, old)
    assert collect(registered, place.home, MODEL, _MONTH).published == (old,)
    assert set(registered.store.list_digests(MODEL)) == {release.digest for release in releases}


def test_a_young_release_of_the_store_stays(registered: Registry, place: Place) -> None:
    """It may be about to be registered, by a process that died and by the doctor then."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    young = place.train(seed=1, provenance={"created_at": now}).name
    _publish_alone(place, young)
    assert collect(registered, place.home, MODEL, _MONTH).published == ()
    assert registered.store.read(MODEL, young).digest == young


def test_uploads_that_were_never_finished_go(registered: Registry, place: Place) -> None:
    folders = [
        place.home.candidates / MODEL / ".arriving-candidate",
        place.home.store / "releases" / MODEL / ".arriving-release",
        place.home.registry / ".arriving-database",
    ]
    for folder in folders:
        folder.mkdir()
        (folder / "part").touch()
        _age(folder, 31)
    collect(registered, place.home, MODEL, _MONTH, dry_run=True)
    assert all(folder.exists() for folder in folders)
    collect(registered, place.home, MODEL, _MONTH)
    assert not any(folder.exists() for folder in folders)


def test_the_registry_of_another_store_removes_nothing(
    registered: Registry, place: Place, releases: list[Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To it, no release of the store has a version."""
    registered.promote(MODEL, "1.0.0", "to see")
    monkeypatch.setenv("ATHANOR_REGISTRY_URL", f"sqlite:///{place.path}/other.db")
    other = place.open()
    with pytest.raises(ConflictError, match=r"names release [0-9a-f]{12} as champion, which .*other.db does not know"):
        collect(other, place.home, MODEL, timedelta(0))
    for release in releases:
        assert registered.store.read(MODEL, release.digest).files == release.files


def test_what_stays_can_be_served_and_registered(registered: Registry, place: Place, releases: list[Release]) -> None:
    registered.promote(MODEL, "1.0.0", "to see")
    collect(registered, place.home, MODEL, timedelta(0))
    for release in releases:
        assert registered.store.read(MODEL, release.digest).files == release.files
        assert read_release(place.home.candidates / MODEL / release.digest).digest == release.digest
    assert [version.semantic_version for version in registered.list_versions(MODEL)] == ["1.1.0", "1.0.1", "1.0.0"]


def test_challenger_and_shadow_stay_however_old_they_are(
    registered: Registry, place: Place, releases: list[Release]
) -> None:
    registered.promote(MODEL, "1.0.0", "to see")
    registered.challenge(MODEL, "1.0.1", 0.1, "to try")
    registered.shadow(MODEL, "1.1.0", "to compare")
    done = collect(registered, place.home, MODEL, timedelta(0))
    assert (done.candidates, done.published) == ((), ())
    for served in registered.store.read_traffic(MODEL).served.values():
        assert registered.store.read(MODEL, served.digest).digest == served.digest


@pytest.mark.parametrize("variant", ["challenger", "shadow"])
def test_while_a_variant_is_of_another_registry_nothing_is_removed(
    registered: Registry, place: Place, variant: str
) -> None:
    old = _train(place, 1, days=31)
    _publish_alone(place, old)
    traffic = registered.promote(MODEL, "1.0.0", "to see")
    stranger = {"digest": old, "semantic_version": "7.0.0", **({"weight": 0.5} if variant == "challenger" else {})}
    registered.store.write_traffic(Traffic.model_validate({**traffic.model_dump(), variant: stranger}))
    with pytest.raises(ConflictError, match=f"names release {old[:12]} as {variant}, which"):
        collect(registered, place.home, MODEL, _MONTH)
    assert registered.store.read(MODEL, old).digest == old
