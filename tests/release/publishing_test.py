"""Publishing: whole or not at all, whatever interrupts it and however badly the store keeps what it is given."""

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.file_systems import DamagingFileSystem, register_file_systems
from support.killed import kill_at_every_moment
from support.releases import PROVENANCE, make_release

from athanor.errors import NotFoundError, ReleaseError
from athanor.release.files import GRAPH, MANIFEST, MODEL_CARD, Release, digests
from athanor.release.storage.locations import open_storage
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic

_DIGEST = "a" * 64
_TRAFFIC = Traffic(model="delays", revision=3, champion=Served(digest=_DIGEST, semantic_version="1.0.0"))


def _folder(release: Release) -> str:
    return f"releases/delays/{release.digest}"


def _path(store: ReleaseStore, release: Release) -> Path:
    return Path(store.location, _folder(release))


def test_publishing_twice_changes_nothing(local: ReleaseStore, release: Release) -> None:
    local.publish(release)
    before = {path: path.stat().st_mtime_ns for path in _path(local, release).iterdir()}
    local.publish(release)
    assert {path: path.stat().st_mtime_ns for path in _path(local, release).iterdir()} == before


def test_the_same_release_made_at_another_time_changes_nothing(
    store: ReleaseStore, release: Release, tmp_path: Path
) -> None:
    again = make_release(tmp_path / "again", provenance={"created_at": "2014-01-01T00:00:00+00:00"})
    assert again.digest == release.digest
    store.publish(release)
    store.publish(again)
    assert store.read("delays", release.digest).manifest.provenance == PROVENANCE


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda place, path: place.write(path, place.read(path)[:-1]), id="changed"),
        pytest.param(lambda place, path: place.remove(path), id="absent"),
        pytest.param(lambda place, path: place.write(f"{path}.more", b""), id="unknown"),
    ],
)
def test_what_was_tampered_with_in_the_store_is_refused_and_not_published_over(
    store: ReleaseStore, location: str, release: Release, damage: Callable[[Any, str], None]
) -> None:
    store.publish(release)
    path = f"{_folder(release)}/{GRAPH}"
    damage(open_storage(location), path)
    for ask in (lambda: store.read("delays", release.digest), lambda: store.publish(release)):
        with pytest.raises(ReleaseError, match=re.escape(open_storage(location).name(path))):
            ask()


@pytest.mark.parametrize("files", [{GRAPH: b"another"}, {"more.json": b"{}"}])
def test_what_is_not_as_its_manifest_says_is_not_published(
    store: ReleaseStore, release: Release, files: dict[str, bytes]
) -> None:
    (name,) = files
    changed = Release(release.location, release.manifest, {**release.files, **files})
    with pytest.raises(ReleaseError, match=f"{name} is corrupted .* is {digests(files)[name]}, the manifest says"):
        store.publish(changed)
    assert store.list_digests("delays") == []


def test_the_remedy_that_a_refusal_names_works(local: ReleaseStore, release: Release) -> None:
    local.publish(release)
    folder = _path(local, release)
    (folder / GRAPH).write_bytes(b"")
    with pytest.raises(ReleaseError, match=f"Remove {re.escape(str(folder))} and register the release again"):
        local.read("delays", release.digest)
    shutil.rmtree(folder)
    local.publish(release)
    assert local.read("delays", release.digest).files == release.files


def test_what_is_half_there_is_completed_whatever_lies_there(
    store: ReleaseStore, location: str, release: Release
) -> None:
    place, folder = open_storage(location), _folder(release)
    place.write(f"{folder}/{GRAPH}", b"half")
    place.write(f"{folder}/{MODEL_CARD}", release.files[MODEL_CARD])
    place.write(f"{folder}/{MANIFEST}", release.manifest.content[:100])
    place.write(f"{folder}/other.json", b"{}")
    place.write(f"{folder}/deep/other.json", b"{}")
    store.publish(release)
    back = store.read("delays", release.digest)
    assert (back.manifest, back.files) == (release.manifest, release.files)


@pytest.mark.parametrize("system", ["folder", "halving"])
def test_killed_at_any_moment_it_leaves_no_release_and_is_completed(
    tmp_path: Path, release: Release, system: str
) -> None:
    register_file_systems()
    folder = tmp_path / "store"
    store = ReleaseStore(folder if system == "folder" else f"halving://{folder}")
    unfinished = 0
    for _ in kill_at_every_moment(lambda: store.publish(release), folder):
        found = None
        with suppress(NotFoundError, ReleaseError):
            found = store.read("delays", release.digest)
        # Whoever dies after the last file has published it.
        assert found is None or (found.manifest, found.files) == (release.manifest, release.files)
        if system == "folder":
            assert (found is None) != Path(folder, _folder(release)).exists(), "it appears at once"
        unfinished += found is None
        store.publish(release)
        assert store.read("delays", release.digest).files == release.files
        shutil.rmtree(folder)
    assert unfinished > 2 * len(release.files)


@pytest.mark.parametrize("victim", [GRAPH, MODEL_CARD, MANIFEST])
def test_a_store_that_keeps_a_file_otherwise_than_written_is_found_out(
    tmp_path: Path, release: Release, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_file_systems()
    store = ReleaseStore(f"damaging://{tmp_path}/store")
    content = {**release.files, MANIFEST: release.manifest.content}[victim]
    kept, written = (digests({victim: part})[victim] for part in (content[:-1], content))
    with monkeypatch.context() as patch:
        patch.setattr(DamagingFileSystem, "victim", victim)
        with pytest.raises(
            ReleaseError, match=f"{_folder(release)}/{victim} was stored damaged.* {kept}, but {written} was written"
        ):
            store.publish(release)
    assert store.list_digests("delays") == []
    store.publish(release)
    assert store.read("delays", release.digest).files == release.files


def test_killed_while_it_removes_it_leaves_the_release_or_none(local: ReleaseStore, release: Release) -> None:
    local.publish(release)
    moments = 0
    for _ in kill_at_every_moment(lambda: local.remove("delays", release.digest), Path(local.location)):
        moments += 1
        with suppress(NotFoundError):
            local.read("delays", release.digest)
        local.publish(release)
    assert moments > len(release.files)


def test_what_was_abandoned_long_ago_is_removed(store: ReleaseStore, location: str, release: Release) -> None:
    store.publish(release)
    place = open_storage(location)
    place.write(f"releases/delays/{_DIGEST}/{GRAPH}", b"half")
    store.remove_abandoned(older_than_s=3_600)
    assert place.list_names("releases/delays") == sorted([_DIGEST, release.digest])
    store.remove_abandoned(older_than_s=-1)
    assert place.list_names(f"releases/delays/{_DIGEST}") == []
    assert store.read("delays", release.digest).files == release.files


def test_what_was_abandoned_under_another_name_is_removed(local: ReleaseStore, release: Release) -> None:
    local.publish(release)
    local.write_traffic(_TRAFFIC)
    left = [Path(local.location, "releases/delays/.arriving-1/x"), Path(local.location, "traffic/.arriving-2")]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    local.remove_abandoned(older_than_s=-1)
    assert not any(path.exists() for path in left)
    assert local.read_traffic("delays") == _TRAFFIC


def test_what_has_no_known_age_is_never_abandoned(tmp_path: Path) -> None:
    register_file_systems()
    path = tmp_path / "releases" / "delays" / _DIGEST / GRAPH
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    ReleaseStore(f"timeless://{tmp_path}").remove_abandoned(older_than_s=0)
    assert path.exists()


def test_killed_while_it_replaces_traffic_it_leaves_the_old_or_the_new(local: ReleaseStore) -> None:
    old, new = _TRAFFIC, _TRAFFIC.model_copy(update={"revision": 4})
    local.write_traffic(old)
    for _ in kill_at_every_moment(lambda: local.write_traffic(new), Path(local.location)):
        assert local.read_traffic("delays") in (old, new)
        local.write_traffic(old)


def test_who_reads_traffic_while_it_is_replaced_reads_all_of_the_old(local: ReleaseStore) -> None:
    local.write_traffic(_TRAFFIC)
    with Path(local.location, "traffic", "delays.json").open("rb") as reading:
        local.write_traffic(_TRAFFIC.model_copy(update={"revision": 4}))
        assert Traffic.model_validate_json(reading.read()) == _TRAFFIC
