"""The release store: what the registry publishes and serving reads."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.releases import make_release

from athanor.errors import NotFoundError, ReleaseError
from athanor.release.files import GRAPH, Release
from athanor.release.store import ReleaseStore, Served, Traffic

_DIGEST = "a" * 64
_TRAFFIC = Traffic(model="flight_delay", revision=3, champion=Served(digest=_DIGEST, semantic_version="1.0.0"))


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(tmp_path / "store")


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return make_release(tmp_path / "candidates")


def test_a_published_release_is_read_as_it_was_written(store: ReleaseStore, release: Release) -> None:
    store.publish(release)
    back = store.read("flight_delay", release.digest)
    assert back.folder == store.folder / "releases" / "flight_delay" / release.digest
    assert (back.manifest, back.files) == (release.manifest, release.files)


def test_publishing_twice_changes_nothing(store: ReleaseStore, release: Release) -> None:
    store.publish(release)
    graph = store.folder / "releases" / "flight_delay" / release.digest / GRAPH
    before = graph.stat().st_mtime_ns
    store.publish(release)
    assert graph.stat().st_mtime_ns == before


def test_a_release_that_was_never_published_is_not_found(store: ReleaseStore) -> None:
    with pytest.raises(NotFoundError, match=_DIGEST):
        store.read("flight_delay", _DIGEST)


def test_a_release_that_was_tampered_with_in_the_store_is_refused(store: ReleaseStore, release: Release) -> None:
    store.publish(release)
    path = store.folder / "releases" / "flight_delay" / release.digest / GRAPH
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ReleaseError, match=re.escape(str(path))):
        store.read("flight_delay", release.digest)


def test_the_remedy_that_a_refusal_names_works(store: ReleaseStore, release: Release) -> None:
    store.publish(release)
    folder = store.folder / "releases" / "flight_delay" / release.digest
    (folder / GRAPH).write_bytes(b"")
    with pytest.raises(ReleaseError, match=f"Remove {re.escape(str(folder))} and register the release again"):
        store.read("flight_delay", release.digest)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    store.publish(release)
    assert store.read("flight_delay", release.digest).files == release.files


def test_traffic_is_written_replaced_and_read(store: ReleaseStore) -> None:
    store.write_traffic(_TRAFFIC)
    assert store.read_traffic("flight_delay") == _TRAFFIC
    other = _TRAFFIC.model_copy(update={"revision": 4})
    store.write_traffic(other)
    assert store.read_traffic("flight_delay") == other
    assert [path.name for path in (store.folder / "traffic").iterdir()] == ["flight_delay.json"]


def test_without_traffic_it_says_what_to_do(store: ReleaseStore) -> None:
    with pytest.raises(NotFoundError, match=r"no release of flight_delay takes traffic: .* promote one"):
        store.read_traffic("flight_delay")


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
def test_a_file_that_is_no_traffic_file_is_refused(store: ReleaseStore, content: bytes) -> None:
    path = store.folder / "traffic" / "flight_delay.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=f"{re.escape(str(path))} is no traffic file"):
        store.read_traffic("flight_delay")


@pytest.mark.parametrize(
    "changed", [{"digest": "../../etc"}, {"digest": "A" * 64}, {"semantic_version": "v1.0.0"}, {"weight": 1}]
)
def test_what_cannot_be_served_cannot_be_written(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Served.model_validate({"digest": _DIGEST, "semantic_version": "1.0.0", **changed})
