"""A real service of a trained release, started and stopped by the command line, and what others call it with."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from integration.credentials import authorize
from integration.service import Service, running_service
from prepared.place import PREPARED, copy_prepared
from support.processes import nothing_survives
from support.traps import find_sprung, set_traps

from athanor.release.files import REFERENCE_ROWS, Release
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Traffic
from delays.v1 import delays_pb2, delays_pb2_grpc


@pytest.fixture(scope="session")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the service is started in: no process of it may import what is there."""
    return set_traps(tmp_path_factory.mktemp("service") / "traps")


@pytest.fixture(scope="session")
def service(traps: Path) -> Iterator[Service]:
    home = copy_prepared(traps.with_name("home"))
    with nothing_survives(), running_service(home, cwd=traps) as running:
        yield running
    assert find_sprung(traps) == []
    # To the last line, which is Ray's.
    assert all(isinstance(json.loads(line), dict) for line in running.log.splitlines())


@pytest.fixture(scope="session")
def channel(service: Service) -> Iterator[grpc.Channel]:
    """Lets its calls in."""
    with grpc.insecure_channel(service.grpc) as channel:
        yield authorize(channel, service.authorization)


@pytest.fixture(scope="session")
def stub(channel: grpc.Channel) -> delays_pb2_grpc.DelaysServiceStub:
    return delays_pb2_grpc.DelaysServiceStub(channel)


@pytest.fixture(scope="session")
def rest(service: Service) -> Iterator[httpx.Client]:
    """Lets its requests in."""
    headers = dict([service.authorization])
    with httpx.Client(base_url=f"http://{service.http}", timeout=60, trust_env=False, headers=headers) as client:
        yield client


@pytest.fixture(scope="session")
def traffic() -> Traffic:
    """What the service was told to answer with."""
    return ReleaseStore(PREPARED.store).read_traffic("delays")


@pytest.fixture(scope="session")
def release(traffic: Traffic) -> Release:
    return ReleaseStore(PREPARED.store).read("delays", traffic.require_champion().digest)


@pytest.fixture(scope="session")
def reference(release: Release) -> dict[str, Any]:
    """A hundred flights as JSON, `rows`, and the `predictions` that training had for them."""
    found: dict[str, Any] = release.json(REFERENCE_ROWS)
    return found


@pytest.fixture(scope="session")
def flights(reference: dict[str, Any]) -> list[delays_pb2.Flight]:
    """The same hundred flights as messages."""
    return [json_format.ParseDict(row, delays_pb2.Flight()) for row in reference["rows"]]
