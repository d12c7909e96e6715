"""Malformed bytes at every gRPC method, health and reflection included."""

import random
from typing import Any, Final

import grpc
import pytest
from support.grpc_server import ALIVE, HEALTH, METADATA, QUESTIONS, REFLECTIONS, SERVICES, GrpcServer
from support.handlers import OpenHandler

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2


def _code(error: Any) -> Any:
    return error.code()


def _mutate(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content or b"\x0a\x03abc")
    for _ in range(chance.randint(1, 8)):
        position = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[position] ^= 1 << chance.randrange(8)
            case 1:
                del changed[position:]
                changed += b"\x00"
            case 2:
                changed[position:position] = chance.randbytes(3)
            case _:
                changed[position] = chance.randrange(256)
    return bytes(changed)


_UNARY: Final = (*QUESTIONS, *METADATA, *ALIVE, (HEALTH, health_pb2.HealthCheckRequest(service=SERVICES[0])))


@pytest.mark.parametrize(("method", "request_"), _UNARY)
def test_malformed_bytes_are_the_callers_error(server: GrpcServer, method: str, request_: Any) -> None:
    chance = random.Random(f"bytes for {method}")  # noqa: S311 - the same on every run
    content = request_.SerializeToString()
    codes = {"OK"}
    for given in (b"\xff", b"\x0a\xff\xff\xff\xff\x0f", *(_mutate(content, chance) for _ in range(150))):
        try:
            server.call(method, given)
        except grpc.RpcError as error:
            codes.add(error.code().name)
    assert codes <= {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}


@pytest.mark.parametrize("service", REFLECTIONS)
def test_reflection_names_every_service_and_refuses_malformed_bytes(server: GrpcServer, service: str) -> None:
    reflect: Any = server.channel.stream_stream(f"/{service}/ServerReflectionInfo", None, None)
    asked = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    (content,) = reflect(iter([asked]), timeout=120)
    response = reflection_pb2.ServerReflectionResponse.FromString(content)
    assert {found.name for found in response.list_services_response.service} == {
        *SERVICES,
        "grpc.health.v1.Health",
        *REFLECTIONS,
    }
    with pytest.raises(grpc.RpcError) as caught:
        list(reflect(iter([b"\xff"]), timeout=120))
    assert _code(caught.value) is grpc.StatusCode.INVALID_ARGUMENT


def test_a_health_watch_sees_changes_and_refuses_malformed_bytes(closed: GrpcServer, opened: OpenHandler) -> None:
    watch: Any = closed.channel.unary_stream(
        "/grpc.health.v1.Health/Watch", None, health_pb2.HealthCheckResponse.FromString
    )
    statuses = watch(b"", timeout=120)
    assert next(statuses).status == health_pb2.HealthCheckResponse.NOT_SERVING
    closed.open(opened)
    assert next(statuses).status == health_pb2.HealthCheckResponse.SERVING
    statuses.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        next(watch(b"\xff", timeout=120))
    assert _code(caught.value) is grpc.StatusCode.INVALID_ARGUMENT
