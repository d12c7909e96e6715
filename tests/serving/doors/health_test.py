"""Health: NOT_SERVING until the doors open, and again as soon as a replica drains."""

import asyncio
from typing import Any

import grpc
import pytest
from support.grpc_server import HEALTH, OIP, PREDICT, REQUEST, SERVICES, GrpcServer
from support.handlers import OpenHandler
from support.rest import RestClient

from athanor.serving.doors.health import HEALTH as PROCESS
from athanor.serving.doors.health import Health
from grpc_health.v1 import health_pb2
from inference import open_inference_pb2 as oip

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_READY = ("/readyz", "/v2/health/ready")
_LIVE = ("/livez", "/v2/health/live")
_WATCH = "/grpc.health.v1.Health/Watch"


def _check(server: GrpcServer, service: str) -> Any:
    asked = health_pb2.HealthCheckRequest(service=service)
    return server.call(HEALTH, asked, health_pb2.HealthCheckResponse)[0].status


def _drain(server: GrpcServer) -> None:
    async def drain() -> None:
        PROCESS.drain()

    server.run(drain())


def test_it_does_not_serve_until_the_doors_open(closed: GrpcServer, opened: OpenHandler) -> None:
    assert _check(closed, "") == _NOT_SERVING
    closed.open(opened)
    assert {_check(closed, service) for service in ("", *SERVICES)} == {_SERVING}


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_a_draining_replica_reports_it_and_still_answers(server: GrpcServer, service: str) -> None:
    _drain(server)
    assert _check(server, service) == _NOT_SERVING
    ready, _ = server.call(f"{OIP}ServerReady", oip.ServerReadyRequest(), oip.ServerReadyResponse)
    live, _ = server.call(f"{OIP}ServerLive", oip.ServerLiveRequest(), oip.ServerLiveResponse)
    assert (ready.ready, live.live) == (False, True)
    assert server.call(PREDICT, REQUEST)


def test_a_watch_sees_each_change(closed: GrpcServer, opened: OpenHandler) -> None:
    watch: Any = closed.channel.unary_stream(_WATCH, None, health_pb2.HealthCheckResponse.FromString)
    statuses = [watch(health_pb2.HealthCheckRequest(service=s).SerializeToString(), timeout=120) for s in ("", "none")]
    assert next(statuses[0]).status == _NOT_SERVING
    assert next(statuses[1]).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    closed.open(opened)
    assert next(statuses[0]).status == _SERVING
    _drain(closed)
    assert next(statuses[0]).status == _NOT_SERVING
    # A server that drains waits for its last stream.
    assert [list(each) for each in statuses] == [[], []]


def test_an_unknown_service_is_not_found(server: GrpcServer) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _check(server, "no.such.Service")
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "service 'no.such.Service' is not served here"


def test_rest_is_ready_until_it_drains(opened: OpenHandler) -> None:
    client = RestClient(opened)
    for path in (*_READY, *_LIVE):
        response = client.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
    client.health.drain()
    for path in _READY:
        response = client.get(path)
        assert (response.status_code, response.json()) == (503, {"status": "draining"})
    for path in _LIVE:
        assert client.get(path).status_code == 200


def test_a_drained_process_serves_again_when_its_doors_open_again() -> None:
    async def work() -> list[bool]:
        health, seen = Health(), list[bool]()
        for change in (health.serve, health.drain, health.drain, health.serve):
            change()
            seen.append(health.is_serving)
        return seen

    assert asyncio.run(work()) == [True, False, False, True]
