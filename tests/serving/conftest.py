"""A core with a hand-made release that takes traffic, and a stage for several."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.grpc_server import GrpcServer, serve_grpc
from support.handlers import OpenHandler, open_handler
from support.releases import make_release
from support.serving import Stage

from athanor.release.files import Release
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from projects.delays.model import MODEL


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(tmp_path / "store")


@pytest.fixture
def release(store: ReleaseStore, tmp_path: Path) -> Release:
    """Serves as 1.2.3."""
    made = make_release(tmp_path / "candidates")
    store.publish(made)
    served = Served(digest=made.digest, semantic_version="1.2.3")
    store.write_traffic(Traffic(model=MODEL.name, revision=1, champion=served))
    return made


@pytest.fixture
def core(store: ReleaseStore, release: Release) -> Core:
    return Core(Loader(MODEL.name, store, max_rows=50))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """With no traffic yet."""
    return Stage(tmp_path / "stage")


@pytest.fixture
def closed() -> Iterator[GrpcServer]:
    """A gRPC server whose doors were not opened yet."""
    with serve_grpc() as server:
        yield server


@pytest.fixture
def opened(core: Core, tmp_path: Path) -> Iterator[OpenHandler]:
    with open_handler(core, tmp_path / "service", max_message_bytes=20_000, max_in_flight=2) as opened:
        yield opened


@pytest.fixture
def server(closed: GrpcServer, opened: OpenHandler) -> GrpcServer:
    closed.open(opened)
    return closed
