"""The release store: what the registry publishes and serving reads, wherever it lies."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.releases import make_release

from athanor.errors import NotFoundError, ReleaseError, SettingsError
from athanor.release.files import MANIFEST, Release
from athanor.release.storage.locations import open_storage
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic

_DIGEST = "a" * 64
_TRAFFIC = Traffic(model="delays", revision=3, champion=Served(digest=_DIGEST, semantic_version="1.0.0"))


def _folder(release: Release) -> str:
    return f"releases/delays/{release.digest}"


def test_a_published_release_is_read_as_it_was_written(store: ReleaseStore, release: Release) -> None:
    store.publish(release)
    back = store.read("delays", release.digest)
    assert back.location.endswith(f"/{_folder(release)}")
    assert (back.manifest, back.files) == (release.manifest, release.files)


def test_it_lies_where_everybody_looks_for_it(store: ReleaseStore, location: str, release: Release) -> None:
    store.publish(release)
    store.write_traffic(_TRAFFIC)
    place = open_storage(location)
    assert place.list_names("") == ["releases", "traffic"]
    assert place.list_names(_folder(release)) == sorted([*release.files, MANIFEST])
    assert place.read(f"{_folder(release)}/{MANIFEST}") == Path(release.location, MANIFEST).read_bytes()
    assert place.list_names("traffic") == ["delays.json"]


def test_a_path_may_be_a_path_or_words(tmp_path: Path, release: Release) -> None:
    ReleaseStore(tmp_path / "store").publish(release)
    for location in (tmp_path / "store", str(tmp_path / "store"), f"file://{tmp_path}/store"):
        assert ReleaseStore(location).read("delays", release.digest).files == release.files


def test_a_release_that_was_never_published_is_not_found(store: ReleaseStore) -> None:
    with pytest.raises(NotFoundError, match=_DIGEST):
        store.read("delays", _DIGEST)


@pytest.mark.parametrize("digest", ["", "..", "a" * 63, "A" * 64, "a" * 64 + "\n", f"../other/{'a' * 64}"])
def test_what_is_no_digest_names_no_release(local: ReleaseStore, release: Release, digest: str) -> None:
    local.publish(release)
    for ask in (local.read, local.remove):
        with pytest.raises(NotFoundError, match="is not a digest of a release"):
            ask("delays", digest)
    assert local.list_digests("delays") == [release.digest]


def test_what_has_no_manifest_is_not_there(store: ReleaseStore, location: str, release: Release) -> None:
    store.publish(release)
    open_storage(location).remove(f"{_folder(release)}/{MANIFEST}")
    with pytest.raises(NotFoundError, match=release.digest):
        store.read("delays", release.digest)
    assert (store.list_models(), store.list_digests("delays")) == ([], [])
    assert list(store.list_manifests("delays")) == []


def test_releases_are_listed_by_model(store: ReleaseStore, release: Release, tmp_path: Path) -> None:
    assert (store.list_models(), store.list_digests("delays")) == ([], [])
    later, other = make_release(tmp_path / "candidates", seed=1), make_release(tmp_path / "candidates", model="other")
    for made in (release, later, other):
        store.publish(made)
    assert store.list_models() == ["delays", "other"]
    assert store.list_digests("delays") == sorted([release.digest, later.digest])
    assert [manifest.digest for manifest in store.list_manifests("other")] == [other.digest]


def test_models_with_a_traffic_file_are_listed(store: ReleaseStore, location: str, release: Release) -> None:
    store.publish(release)
    assert store.list_traffic() == []
    for model in ("other.v2", "delays"):
        store.write_traffic(_TRAFFIC.model_copy(update={"model": model}))
    open_storage(location).write("traffic/notes.txt", b"")
    assert store.list_traffic() == ["delays", "other.v2"]


def test_a_damaged_manifest_is_refused_where_manifests_are_listed(
    store: ReleaseStore, location: str, release: Release
) -> None:
    store.publish(release)
    open_storage(location).write(f"{_folder(release)}/{MANIFEST}", b"{}")
    with pytest.raises(ReleaseError, match=f"{MANIFEST}, of release {release.digest}, cannot be read"):
        list(store.list_manifests("delays"))


def test_what_was_removed_is_not_there_and_the_rest_stays(
    store: ReleaseStore, location: str, release: Release, tmp_path: Path
) -> None:
    later = make_release(tmp_path / "candidates", seed=1)
    store.publish(release)
    store.publish(later)
    for _ in range(2):
        store.remove("delays", release.digest)
    assert store.list_digests("delays") == [later.digest]
    assert open_storage(location).list_names(_folder(release)) == []


def test_traffic_is_written_replaced_and_read(store: ReleaseStore) -> None:
    for revision in (3, 4):
        traffic = _TRAFFIC.model_copy(update={"revision": revision})
        store.write_traffic(traffic)
        assert store.read_traffic("delays") == traffic


def test_without_traffic_it_says_what_to_do(store: ReleaseStore) -> None:
    with pytest.raises(NotFoundError, match=r"no release of delays takes traffic: .* promote one"):
        store.read_traffic("delays")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        _TRAFFIC.model_dump_json().replace(_DIGEST, "a" * 63).encode(),
        _TRAFFIC.model_dump_json().replace("1.0.0", "1.0").encode(),
        _TRAFFIC.model_dump_json().replace('"revision":3', '"revision":0').encode(),
        _TRAFFIC.model_dump_json().replace('"model"', '"more":1,"model"').encode(),
    ],
)
def test_a_file_that_is_no_traffic_file_is_refused(local: ReleaseStore, content: bytes) -> None:
    path = Path(local.location, "traffic", "delays.json")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=f"{re.escape(str(path))} is not a traffic file"):
        local.read_traffic("delays")


@pytest.mark.parametrize(
    "changed", [{"digest": "../../etc"}, {"digest": "A" * 64}, {"semantic_version": "v1.0.0"}, {"weight": 1}]
)
def test_what_cannot_be_served_cannot_be_written(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Served.model_validate({"digest": _DIGEST, "semantic_version": "1.0.0", **changed})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://bucket/store", "no installed library handles s3:// URLs.*s3fs.*requirements and the lock"),
        ("nosuch://x", "no installed library handles nosuch:// URLs.*add the library"),
        ("file://host/store", "names no folder of this machine; write three slashes"),
        ("file://", "names no folder of this machine"),
    ],
)
def test_a_url_that_nothing_here_knows_is_refused_with_what_to_do(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ReleaseStore(url)


def test_a_password_in_a_url_is_masked() -> None:
    with pytest.raises(SettingsError) as caught:
        ReleaseStore("nosuch://me:secret@host/store")
    assert "secret" not in str(caught.value)
