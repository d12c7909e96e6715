"""Hostile files in a release or store: a reader opens nothing that is unnamed, of another kind, or too large."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.file_systems import register_file_systems
from support.releases import PROVENANCE, make_files, make_identity

from athanor.errors import ReleaseError
from athanor.release.files import (
    GRAPH,
    MANIFEST,
    MODEL_CARD,
    Release,
    read_release,
)
from athanor.release.manifest import Manifest
from athanor.release.storage.locations import open_storage
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic

_SPARSE_BYTES = 1 << 40


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(_SPARSE_BYTES)


def _link(path: Path) -> None:
    path.symlink_to("/dev/zero")


_HOSTILE: dict[str, Callable[[Path], None]] = {"FIFO": os.mkfifo, "link": _link, "sparse": _sparse, "folder": os.mkdir}


@pytest.fixture(params=_HOSTILE)
def replace(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """Puts a hostile file in the place of another."""

    def put(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        _HOSTILE[request.param](path)

    return put


@pytest.mark.parametrize("name", [GRAPH, MODEL_CARD, MANIFEST, "unknown"])
def test_a_hostile_file_of_a_release_is_refused_at_once(
    release: Release, replace: Callable[[Path], None], name: str
) -> None:
    replace(Path(release.location, name))
    with pytest.raises(ReleaseError, match=f"{release.digest}/{name} "):
        read_release(Path(release.location))


def test_a_folder_of_a_release_that_is_a_link_is_refused(release: Release, tmp_path: Path) -> None:
    folder, elsewhere = Path(release.location), tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    with pytest.raises(ReleaseError, match=f"{MANIFEST} cannot be read: it is a link"):
        read_release(folder)


@pytest.mark.parametrize("folder", ["traffic", "ledger"])
def test_a_hostile_traffic_file_or_ledger_is_refused_at_once(
    local: ReleaseStore, replace: Callable[[Path], None], folder: str
) -> None:
    path = Path(local.location, folder, "delays.json")
    replace(path)
    read = {"traffic": local.read_traffic, "ledger": local.read_ledger}[folder]
    with pytest.raises(ReleaseError, match=f"{path} cannot be read: .*doctor --mend"):
        read("delays")


def test_a_hostile_signature_is_refused_at_once(
    local: ReleaseStore, release: Release, replace: Callable[[Path], None]
) -> None:
    path = Path(local.location, "signatures", "delays", release.digest, "0123456789abcdef.json")
    replace(path)
    with pytest.raises(ReleaseError, match=f"{path} is not a signature"):
        local.read_signatures("delays", release.digest)


def test_what_is_hostile_in_a_store_is_replaced_when_it_is_written(
    local: ReleaseStore, release: Release, replace: Callable[[Path], None]
) -> None:
    """An interrupted publication has no manifest."""
    local.publish(release)
    folder = Path(local.location, "releases", "delays", release.digest)
    (folder / MANIFEST).unlink()
    replace(folder / GRAPH)
    if (folder / GRAPH).is_dir():
        (folder / GRAPH).rmdir()
    local.publish(release)
    assert local.read("delays", release.digest).files == release.files


@pytest.mark.parametrize("hostile", ["link", "sparse"])
def test_a_store_at_a_url_refuses_the_same(tmp_path: Path, release: Release, hostile: str) -> None:
    register_file_systems()
    store = ReleaseStore(f"halving://{tmp_path}/store")
    store.publish(release)
    path = tmp_path / "store" / "releases" / "delays" / release.digest / GRAPH
    path.unlink()
    _HOSTILE[hostile](path)
    with pytest.raises(ReleaseError, match=f"{GRAPH} cannot be read: it "):
        store.read("delays", release.digest)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "", "a/b", ".hidden", "a\nb"])
def test_a_manifest_that_names_a_file_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    files = make_files()
    (tmp_path / "outside").write_bytes(b"secret")
    with pytest.raises(ValueError, match="is not the name of a file of a release"):
        Manifest.seal(make_identity(files), PROVENANCE, {name: "0" * 64}, {})


@pytest.mark.parametrize("sizes", [{}, {GRAPH: 1}, {"other": 1}, {GRAPH: -1}])
def test_sizes_of_other_files_are_refused(sizes: dict[str, int]) -> None:
    files = {GRAPH: b"a graph", MODEL_CARD: b"card"}
    with pytest.raises(ValueError, match="sizes"):
        Manifest.seal(make_identity(files), PROVENANCE, {}, sizes)


def test_the_size_in_the_manifest_is_the_largest_that_is_read(release: Release) -> None:
    path = Path(release.location, GRAPH)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ReleaseError, match=f"it has {size + 1:,} bytes or more; allowed are {size:,}"):
        read_release(Path(release.location))


def test_traffic_that_is_a_link_to_a_file_outside_of_the_store_is_refused(local: ReleaseStore, tmp_path: Path) -> None:
    traffic = Traffic(model="delays", revision=1, champion=Served(digest="a" * 64, semantic_version="1.0.0"))
    ReleaseStore(tmp_path / "other").write_traffic(traffic)
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    path = Path(local.location, "traffic")
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "other" / "traffic")
    with pytest.raises(ReleaseError, match="it is a link"):
        local.read_traffic("delays")


def test_a_name_in_the_place_of_the_manifest_does_not_hide_a_release(local: ReleaseStore, release: Release) -> None:
    """It is there and damaged, and no killed publication that may be completed or removed."""
    local.publish(release)
    path = Path(local.location, "releases", "delays", release.digest, MANIFEST)
    path.unlink()
    os.mkfifo(path)
    for ask in (lambda: local.read("delays", release.digest), lambda: local.publish(release)):
        with pytest.raises(ReleaseError, match=f"{MANIFEST} cannot be read: it is a FIFO"):
            ask()
    assert local.list_digests("delays") == [release.digest]
    open_storage(local.location).remove(f"releases/delays/{release.digest}/{MANIFEST}")
    local.publish(release)
