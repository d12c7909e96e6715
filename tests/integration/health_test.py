"""What a load balancer, an orchestrator and a curious client ask: health, readiness, reflection."""

from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

_SERVICE = "flight_delay.v1.FlightDelayService"
_REFLECTION_VERSIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_TIMEOUT_S = 60.0


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_rest_tells_that_it_lives_and_is_ready(rest: httpx.Client, path: str) -> None:
    response = rest.get(path)
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def _check(channel: grpc.Channel, name: str) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(channel)  # the stubs do not know its methods
    return stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=_TIMEOUT_S)


@pytest.mark.parametrize("name", ["", _SERVICE])
def test_grpc_tells_that_it_serves(channel: grpc.Channel, name: str) -> None:
    assert _check(channel, name).status == health_pb2.HealthCheckResponse.SERVING


def test_of_a_service_it_does_not_know_grpc_tells_so(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _check(channel, "no.such.Service")
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND


def _reflect(channel: grpc.Channel, version: str, **asked: Any) -> reflection_pb2.ServerReflectionResponse:
    """One question and its answer. The messages of v1 and v1alpha are the same but for their package."""
    ask: Any = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (answer,) = ask(iter([reflection_pb2.ServerReflectionRequest(**asked)]), timeout=_TIMEOUT_S)
    assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
    return answer


@pytest.mark.parametrize("version", _REFLECTION_VERSIONS)
def test_reflection_lists_what_is_offered(channel: grpc.Channel, version: str) -> None:
    answer = _reflect(channel, version, list_services="")
    names = {service.name for service in answer.list_services_response.service}
    assert {_SERVICE, "grpc.health.v1.Health", *_REFLECTION_VERSIONS} <= names


@pytest.mark.parametrize("version", _REFLECTION_VERSIONS)
@pytest.mark.parametrize("symbol", [_SERVICE, "flight_delay.v1.PredictRequest", "flight_delay.v1.Flight.origin"])
def test_reflection_finds_all_that_a_client_needs(channel: grpc.Channel, version: str, symbol: str) -> None:
    """From what it gives, a client that knows nothing can build the messages."""
    answer = _reflect(channel, version, file_containing_symbol=symbol)
    pool = DescriptorPool()
    wanted = [FileDescriptorProto.FromString(c) for c in answer.file_descriptor_response.file_descriptor_proto]
    files = {file.name: file for file in wanted}
    while absent := {name for file in files.values() for name in file.dependency} - files.keys():
        for name in absent:
            found = _reflect(channel, version, file_by_filename=name).file_descriptor_response
            files |= {f.name: f for f in map(FileDescriptorProto.FromString, found.file_descriptor_proto)}
    _add(pool, files, next(iter(files)))
    request = pool.FindMessageTypeByName("flight_delay.v1.PredictRequest")
    assert [field.name for field in request.fields] == ["flights", "model_name", "semantic_version"]
    assert pool.FindMethodByName(f"{_SERVICE}.Predict").input_type is request


def _add(pool: DescriptorPool, files: dict[str, FileDescriptorProto], name: str) -> None:
    for dependency in files[name].dependency:
        _add(pool, files, dependency)
    pool.Add(files[name])


@pytest.mark.parametrize("version", _REFLECTION_VERSIONS)
def test_reflection_tells_of_what_it_does_not_know(channel: grpc.Channel, version: str) -> None:
    answer = _reflect(channel, version, file_containing_symbol="no.such.Symbol")
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
