"""A client without generated stubs at our own service's doors."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from support.grpc_server import GrpcServer, serve_grpc
from support.handlers import OpenHandler, open_handler
from support.releases import expected_probability
from support.serving import FIRST, SECOND, Stage
from support.wires import add_column, make_release_of

from athanor.client.aio import AsyncClient
from athanor.client.client import Client, connect
from athanor.errors import ModelNotFoundError, UnauthenticatedError
from athanor.release.traffic import Served, Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from athanor.serving.doors.grpc import follow_interface
from projects.delays.model import MODEL

_ROW: Final = {
    "scheduled_departure": {"seconds": 1_387_923_300},
    "carrier": "UA",
    "flight_number": 1545,
    "origin": "EWR",
    "destination": "IAH",
    "scheduled_arrival_minute": 819,
    "distance": 500.0,
}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "stage")


@pytest.fixture
def core(stage: Stage) -> Core:
    stage.direct(FIRST)
    return stage.core()


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    with serve_grpc() as server:
        yield server


@pytest.fixture
def opened(core: Core, server: GrpcServer, tmp_path: Path) -> Iterator[OpenHandler]:
    with open_handler(core, tmp_path / "service", insecure=False) as opened:
        server.open(opened)
        yield opened


def test_a_token_to_predict_is_enough(server: GrpcServer, opened: OpenHandler) -> None:
    with connect(f"127.0.0.1:{server.port}", token=opened.token) as connection:
        client = Client.from_reflection("delays", connection)
        response = client.predict([client.row_class(**_ROW)])
    assert response.predictions[0].late_probability == pytest.approx(expected_probability(500, FIRST), abs=1e-6)


def test_a_token_to_predict_is_enough_in_an_event_loop(server: GrpcServer, opened: OpenHandler) -> None:
    async def ask() -> float:
        async with connect(f"127.0.0.1:{server.port}", token=opened.token) as connection:
            client = await AsyncClient.from_reflection("delays", connection)
            response = await client.predict([client.row_class(**_ROW)])
            return float(response.predictions[0].late_probability)

    assert asyncio.run(ask()) == pytest.approx(expected_probability(500, FIRST), abs=1e-6)


def test_without_a_token_nothing_is_read(server: GrpcServer, opened: OpenHandler) -> None:
    async def ask() -> None:
        async with connect(f"127.0.0.1:{server.port}") as connection:
            await AsyncClient.from_reflection("delays", connection)

    with connect(f"127.0.0.1:{server.port}") as connection, pytest.raises(UnauthenticatedError, match="token"):
        Client.from_reflection("delays", connection)
    with pytest.raises(UnauthenticatedError, match="token"):
        asyncio.run(ask())


def test_another_model_is_not_found(server: GrpcServer, opened: OpenHandler) -> None:
    with connect(f"127.0.0.1:{server.port}", token=opened.token) as connection:
        for model in ("rain", "delays.v2"):
            with pytest.raises(ModelNotFoundError, match=f"does not serve model '{model}'; it serves delays$"):
                Client.from_reflection(model, connection)


def test_a_wider_contract_leaves_earlier_clients_alone(
    server: GrpcServer, opened: OpenHandler, core: Core, stage: Stage, tmp_path: Path
) -> None:
    with connect(f"127.0.0.1:{server.port}", token=opened.token) as connection:
        earlier = Client.from_reflection("delays", connection)
        _promote(core, stage, tmp_path / "newer")
        later = Client.from_reflection("delays", connection)
        assert "gate" not in earlier.row_class.DESCRIPTOR.fields_by_name
        rows = {earlier: earlier.row_class(**_ROW), later: later.row_class(**_ROW, gate="A1")}
        for client, row in rows.items():
            response = client.predict([row])
            assert response.semantic_version == "1.1.0"
            expected = expected_probability(500, SECOND)
            assert response.predictions[0].late_probability == pytest.approx(expected, abs=1e-6)


def _promote(core: Core, stage: Stage, folder: Path) -> None:
    """Promotes a release with a column more, as a follower does."""
    release = make_release_of(folder, add_column(), SECOND)
    stage.store.publish(release)
    traffic = Traffic(model=MODEL.name, revision=8, champion=Served(digest=release.digest, semantic_version="1.1.0"))
    core.traffic = Loader(MODEL.name, stage.store, max_rows=100).load(traffic, core.traffic)
    follow_interface(core.interface)
