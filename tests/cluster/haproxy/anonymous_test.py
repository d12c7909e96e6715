"""Requests without a token end at the doors, in the words of a replica: real HAProxy, in front of real servers."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from cluster.haproxy.haproxies import TIMEOUT_S, Replicas, ask, call, running_haproxy, send
from cluster.haproxy.rendering import render
from google.rpc import status_pb2

from athanor.cluster.haproxy.rules import DoorLimits
from athanor.cluster.haproxy.serve_haproxy import Doors
from athanor.errors import UnauthenticatedError
from athanor.serving.access.authentication import Authenticator
from athanor.serving.access.scope import Scope
from athanor.serving.formats.problems import media_type_of, to_http_status, to_problem, to_rpc_status

_PREDICT: Final = "/delays.v1.DelaysService/Predict"
_TOKEN: Final = ("authorization", "Bearer any")


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    with tempfile.TemporaryDirectory(dir="/tmp") as kept, Replicas() as replicas:
        folder, limits = Path(kept), DoorLimits(requires_token=True)
        with running_haproxy(folder, "tokens", render(folder, replicas.ports)["app"], limits) as running:
            yield running


@pytest.fixture(scope="module")
def refusal() -> UnauthenticatedError:
    """What a replica raises."""
    with pytest.raises(UnauthenticatedError) as caught:
        Authenticator(Path("/proc/none")).require(None, Scope.PREDICT)
    return caught.value


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/models/delays:predict", "/v1/models/delays:features", "/v2", "/v2/models/delays"),
        *("/v2/models/delays/versions/1.0.0/infer", "/metrics", "/openapi.json", "/v2/repository/index"),
    ],
)
@pytest.mark.parametrize("id_", ["mine", 'a"b\\c'])
def test_a_request_without_a_token_gets_the_answer_of_a_replica(
    doors: Doors, refusal: UnauthenticatedError, path: str, id_: str
) -> None:
    status, answer = ask(doors, path, f"x-request-id: {id_}".encode())
    head, _, body = answer.partition("\r\n\r\n")
    assert status == to_http_status(refusal)
    assert body == json.dumps(to_problem(refusal, id_))
    lines = head.lower().split("\r\n")
    assert f"content-type: {media_type_of(path)}" in lines
    assert {"www-authenticate: bearer", f"x-request-id: {id_.lower()}", "cache-control: no-store"} <= set(lines)


@pytest.mark.parametrize("given", [(), (b"x-request-id: a b",)])
def test_a_request_without_an_id_gets_one(doors: Doors, given: tuple[bytes, ...]) -> None:
    found = {json.loads(ask(doors, "/v2", *given)[1].partition("\r\n\r\n")[2])["request_id"] for _ in range(2)}
    assert len(found) == 2
    assert all(len(bytes.fromhex(id_)) == 16 for id_ in found)


@pytest.mark.parametrize(
    "path",
    ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/docs", "/docs/delays", "/favicon.ico", "/v2/other"],
)
def test_what_needs_no_token_reaches_a_replica(doors: Doors, path: str) -> None:
    assert ask(doors, path)[0] == 200


@pytest.mark.parametrize("value", ["Bearer any", "bearer", "Basic any"])
def test_a_replica_decides_about_each_token(doors: Doors, value: str) -> None:
    assert ask(doors, "/v2/models/delays", f"Authorization: {value}".encode())[0] == 200
    assert call(doors, _PREDICT, ("authorization", value))[0] == "OK"


@pytest.mark.parametrize("length", [0, 16_384, 16_385])
def test_a_replica_reads_on_where_the_caller_still_sends(doors: Doors, length: int) -> None:
    lines = (b"POST /v2 HTTP/1.1", b"Host: x", b"Connection: close", b"Content-Length: %d" % length, b"", b"")
    answer = send(doors, b"\r\n".join(lines) + bytes(length))
    assert answer.startswith(b"HTTP/1.1 200 " if length > 16_384 else b"HTTP/1.1 401 ")


def test_a_call_without_a_token_gets_the_status_of_a_replica(doors: Doors, refusal: UnauthenticatedError) -> None:
    with grpc.insecure_channel(f"{doors.host}:{doors.grpc_port}") as channel:
        ask_once: Any = channel.unary_unary(_PREDICT, None, None)
        with pytest.raises(grpc.RpcError) as caught:
            ask_once(b"", timeout=TIMEOUT_S)
    error: Any = caught.value
    expected = to_rpc_status(refusal)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAUTHENTICATED, expected.message)
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert status_pb2.Status.FromString(details) == expected


@pytest.mark.parametrize(
    "method",
    [
        *("/grpc.health.v1.Health/Check", "/inference.GRPCInferenceService/ServerLive"),
        "/inference.GRPCInferenceService/ServerReady",
    ],
)
def test_health_needs_no_token(doors: Doors, method: str) -> None:
    assert call(doors, method)[0] == "OK"


@pytest.mark.parametrize(
    "method",
    [
        *(_PREDICT, "/inference.GRPCInferenceService/ModelInfer", "/inference.GRPCInferenceService/ServerMetadata"),
        *("/athanor.inspection.v1.InspectionService/ComputeFeatures", "/a.B/C"),
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ],
)
def test_every_other_call_needs_one(doors: Doors, method: str) -> None:
    assert call(doors, method)[0] == "UNAUTHENTICATED"
    assert call(doors, method, _TOKEN)[0] == "OK"


def test_what_serve_answers_to_all_stays_hidden(doors: Doors) -> None:
    assert call(doors, "/ray.serve.RayServeAPIService/ListApplications")[0] == "UNIMPLEMENTED"
