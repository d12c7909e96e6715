"""The old and the new major of a package are two models of one service: each is withdrawn and promoted alone."""

import http.client
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import grpc
import pytest
from integration.door_requests import typed_json
from integration.doors import ALL_DOORS, PATHS, Doors, Refused, Told, count
from integration.load import Load, ModelLoad
from integration.made_models import MadeModels
from integration.service import PROJECT, Service, running_service
from prepared.place import copy_prepared
from support.processes import nothing_survives, wait_until
from support.releases import expected_probability
from support.wires import next_major

from athanor.client.client import Client, connect
from athanor.errors import ModelNotFoundError
from delays.v1 import delays_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

_PATIENCE_S: Final = 120.0
_CALLS_PER_S: Final = 25.0
_TOLERANCE: Final = 1e-6
_NEXT: Final = next_major()
_WHY: Final = "for a test"
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

Flights = list[delays_pb2.Flight]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeModels:
    """A home with both majors of a project."""
    made = MadeModels.open(copy_prepared(tmp_path_factory.mktemp("majors") / "home"))
    made.promote(_NEXT)
    return made


@pytest.fixture(scope="module")
def running(made: MadeModels) -> Iterator[Service]:
    with nothing_survives(), running_service(made.home, models=(f"{PROJECT}*",)) as service:
        yield service


@pytest.fixture(scope="module")
def old(running: Service) -> Iterator[Doors]:
    with Doors.opened(running) as doors:
        yield doors


@pytest.fixture(scope="module")
def new(running: Service) -> Iterator[Doors]:
    with Doors.opened(running, _NEXT) as doors:
        yield doors


def _expect(flights: Flights) -> list[float]:
    """What the new major answers."""
    return [expected_probability(flight.distance) for flight in flights]


def test_each_major_answers_by_its_own_at_every_door(
    running: Service, old: Doors, new: Doors, flights: Flights, reference: dict[str, Any]
) -> None:
    for doors, version, expected in (
        (old, "1.0.0", reference["answers"]["late_probability"]),
        (new, "2.0.0", _expect(flights)),
    ):
        for name, door in ALL_DOORS.items():
            told = door(doors, flights[:5])
            assert isinstance(told, Told), (name, told)
            assert (told.fields["model"], told.fields["version"]) == (doors.model, version), name
            assert told.probabilities == pytest.approx(expected[:5], abs=_TOLERANCE), name


def test_both_majors_are_called_at_once(running: Service, flights: Flights, reference: dict[str, Any]) -> None:
    """The old one by a program with generated stubs, the new one by reflection."""
    with Load(running, flights, _CALLS_PER_S) as old, _load(running, flights) as new:
        for load in (old, new):
            load.wait_for_answers(50)
    for load, version, expected in (
        (old, "1.0.0", reference["answers"]["late_probability"]),
        (new, "2.0.0", _expect(flights)),
    ):
        assert not load.lost, load.lost[:5]
        assert {answer.version for answer in load.answers} == {version}
        assert all(abs(each.probability - expected[each.row]) < _TOLERANCE for each in load.answers)


def _load(service: Service, flights: Flights) -> ModelLoad:
    return ModelLoad(service, flights, _CALLS_PER_S, model=_NEXT.name)


def test_the_old_major_is_withdrawn_and_comes_back_while_the_new_one_answers(
    running: Service, made: MadeModels, old: Doors, flights: Flights, reference: dict[str, Any]
) -> None:
    with (
        _watching(running, "delays.v1.DelaysService") as seen_old,
        _watching(running, "delays.v2.DelaysService") as seen_new,
        _load(running, flights) as load,
    ):
        load.wait_for_answers(10)
        with _half_sent(running, old, flights) as rest_of_it:
            made.registry.withdraw(PROJECT, "champion", _WHY)
            assert wait_until(lambda: not _answers(running), _PATIENCE_S), running.replicas
            _its_callers_are_refused(running, old, flights)
            load.wait_for_answers(50)
            # It was accepted before.
            assert rest_of_it() == pytest.approx(reference["answers"]["late_probability"], abs=_TOLERANCE)
        assert wait_until(lambda: seen_old == [_SERVING, _UNKNOWN], _PATIENCE_S), seen_old
        made.registry.promote(PROJECT, "1.0.0", _WHY)
        assert wait_until(lambda: _answers(running), _PATIENCE_S), running.replicas
        for name, door in ALL_DOORS.items():
            assert isinstance(door(old, flights[:5]), Told), name
        load.wait_for_answers(10)
        assert wait_until(lambda: seen_old == [_SERVING, _UNKNOWN, _SERVING], _PATIENCE_S), seen_old
    assert seen_new == [_SERVING]
    assert (load.lost, load.retries) == ([], 0)
    assert {answer.version for answer in load.answers} == {"2.0.0"}
    assert running.status()[0] == 0


def _answers(service: Service) -> bool:
    """Whether every replica answers for the old major."""
    return all(PROJECT in replica.models for replica in service.replicas)


def _its_callers_are_refused(service: Service, doors: Doors, flights: Flights) -> None:
    for name, door in ALL_DOORS.items():
        told = door(doors, flights[:1])
        assert isinstance(told, Refused), name
        assert told.status in {"404", "NOT_FOUND"}, (name, told)
        assert PROJECT in told.detail, (name, told)
        assert f"served: '{_NEXT.name}'" in told.detail, (name, told)
    with connect(service.grpc, home=service.home.path) as connection, pytest.raises(ModelNotFoundError):
        Client(PROJECT, connection).predict(flights[:1])
    assert doors.rest.get(f"/v2/models/{PROJECT}/ready").status_code == 404
    assert doors.rest.get("/readyz").status_code == 200


@contextmanager
def _half_sent(service: Service, doors: Doors, flights: Flights) -> Iterator[Any]:
    """A request that the service has accepted, and waits for. Yields what sends the rest and returns the answer."""
    body = typed_json(flights).encode()
    connection = http.client.HTTPConnection(service.http, timeout=_PATIENCE_S)
    connection.putrequest("POST", PATHS["rest"])
    for name, value in (service.authorization, ("content-length", str(len(body)))):
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(body[:1_000])

    def send_the_rest() -> Sequence[float]:
        connection.send(body[1_000:])
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return [each["lateProbability"] for each in json.loads(response.read())["predictions"]]

    try:
        assert wait_until(lambda: count(doors, "athanor_requests_in_flight", model=PROJECT) == 1, _PATIENCE_S)
        yield send_the_rest
    finally:
        connection.close()


@contextmanager
def _watching(service: Service, name: str) -> Iterator[list[Any]]:
    """The statuses that a service of gRPC reports of itself."""
    seen: list[Any] = []

    def follow() -> None:
        with suppress(grpc.RpcError):
            seen.extend(response.status for response in stream)

    with grpc.insecure_channel(service.grpc) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # the type stubs lack its methods
        stream = stub.Watch(health_pb2.HealthCheckRequest(service=name))
        thread = threading.Thread(target=follow)
        thread.start()
        try:
            assert wait_until(lambda: seen == [_SERVING], _PATIENCE_S), seen
            yield seen
        finally:
            stream.cancel()
            thread.join()
