"""Releases, and places to keep them."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from support.file_systems import register_file_systems
from support.releases import make_release

from athanor.release.files import Release
from athanor.release.signing.releases import make_key
from athanor.release.store import ReleaseStore


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return make_release(tmp_path / "candidates")


@pytest.fixture(params=["folder", "file", "memory", "halving"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a store may lie: a path, and URLs."""
    register_file_systems()
    folder = tmp_path / "a store"
    if request.param != "memory":
        yield {"folder": str(folder), "file": folder.as_uri(), "halving": f"halving://{folder}"}[request.param]
        return
    yield "memory://athanor/store"
    system = fsspec.filesystem("memory")
    if system.exists("/athanor"):
        system.rm("/athanor", recursive=True)


@pytest.fixture
def store(location: str) -> ReleaseStore:
    return ReleaseStore(location)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key; its public one lies beside it."""
    make_key(tmp_path / "keys" / "mine")
    return tmp_path / "keys" / "mine"


@pytest.fixture
def public(key: Path) -> Path:
    return key.with_name("mine.pub")


@pytest.fixture
def local(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(tmp_path / "store")
