"""The gRPC doors, on a real server in the same process."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from support.flights import make_columns, make_flight
from support.grpc_server import (
    ALIVE,
    FEATURES,
    HEALTH,
    INSPECTION,
    METADATA,
    OIP,
    PREDICT,
    QUESTIONS,
    REFLECTIONS,
    REQUEST,
    SERVICES,
    GrpcServer,
)
from support.handlers import OpenHandler, open_handler
from support.releases import expected_probability
from support.serving import FIRST, SECOND, THIRD, Stage, make_request, watch_champion
from support.tensors import to_request

from athanor.inspection.v1 import inspection_pb2
from athanor.release.files import Release
from athanor.serving.answering.core import Core
from delays.v1 import delays_pb2
from grpc_health.v1 import health_pb2
from inference import open_inference_pb2 as oip


def _refuse(server: GrpcServer, method: str, request: Any, **options: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        server.call(method, request, **options)
    return caught.value


def _details(error: Any) -> dict[str, Any]:
    """The details of a refusal, by message name."""
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    found = {}
    for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
        for detail in status.details:
            unpacked = kind()
            if detail.Unpack(unpacked):
                found[kind.DESCRIPTOR.name] = unpacked
    return found


@pytest.mark.parametrize(("method", "request_"), [*QUESTIONS, *METADATA, *ALIVE])
def test_closed_doors_are_unavailable(closed: GrpcServer, method: str, request_: Any) -> None:
    assert _refuse(closed, method, request_).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_health_follows_the_doors(closed: GrpcServer, opened: OpenHandler, service: str) -> None:
    def status() -> str:
        try:
            asked = health_pb2.HealthCheckRequest(service=service)
            response, _ = closed.call(HEALTH, asked, health_pb2.HealthCheckResponse)
        except grpc.RpcError as error:
            return str(error.code().name)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)

    assert status() in {"NOT_SERVING", "NOT_FOUND"}
    closed.open(opened)
    assert status() == "SERVING"


def test_serve_wraps_no_service(closed: GrpcServer) -> None:
    assert closed.passthrough == {*SERVICES[1:], "grpc.health.v1.Health", *REFLECTIONS}


def test_flights_are_answered(server: GrpcServer, release: Release) -> None:
    flights = [make_flight(distance=distance) for distance in (100.0, 5_000.0)]
    response, _ = server.call(PREDICT, make_request(*flights), delays_pb2.PredictResponse)
    found = [prediction.late_probability for prediction in response.predictions]
    assert found == pytest.approx([expected_probability(100), expected_probability(5_000)], abs=1e-6)
    assert (response.variant, response.release_digest) == ("champion", release.digest)


@pytest.mark.parametrize("raw", [False, True])
def test_tensors_are_answered(server: GrpcServer, raw: bool) -> None:
    columns = make_columns(3)
    response, _ = server.call(f"{OIP}ModelInfer", to_request(columns, raw, id="mine"), oip.ModelInferResponse)
    assert (response.id, response.model_version, list(response.outputs[0].shape)) == ("mine", "1.2.3", [3])
    assert bool(response.raw_output_contents) is raw


def test_features_are_answered(server: GrpcServer) -> None:
    response, _ = server.call(FEATURES, INSPECTION, inspection_pb2.ComputeFeaturesResponse)
    assert len(response.rows) == 1
    prediction = delays_pb2.Prediction.FromString(response.rows[0].prediction)
    assert prediction.late_probability == pytest.approx(0.5)


def test_metadata_describes_the_server_and_the_model(server: GrpcServer) -> None:
    assert server.call(f"{OIP}ServerLive", oip.ServerLiveRequest(), oip.ServerLiveResponse)[0].live
    assert server.call(f"{OIP}ServerReady", oip.ServerReadyRequest(), oip.ServerReadyResponse)[0].ready
    described, _ = server.call(f"{OIP}ServerMetadata", oip.ServerMetadataRequest(), oip.ServerMetadataResponse)
    assert (described.name, list(described.extensions)) == ("athanor", ["binary_tensor_data", "model_repository"])
    asked = oip.ModelMetadataRequest(name="delays", version="1.2.3")
    metadata, _ = server.call(f"{OIP}ModelMetadata", asked, oip.ModelMetadataResponse)
    assert (metadata.name, list(metadata.versions), len(metadata.inputs)) == ("delays", ["1.2.3"], 18)
    for name, version, ready in (("delays", "", True), ("delays", "9.9.9", False), ("weather", "", False)):
        asked_ready = oip.ModelReadyRequest(name=name, version=version)
        assert server.call(f"{OIP}ModelReady", asked_ready, oip.ModelReadyResponse)[0].ready is ready
    error = _refuse(server, f"{OIP}ModelMetadata", oip.ModelMetadataRequest(name="weather"))
    assert error.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(("method", "request_"), QUESTIONS)
def test_the_metadata_of_every_answer_name_request_and_release(
    server: GrpcServer, release: Release, method: str, request_: Any
) -> None:
    _, call = server.call(method, request_, metadata=(("x-request-id", "mine"),))
    assert dict(call.trailing_metadata()) == {
        "x-request-id": "mine",
        "x-athanor-version": "1.2.3",
        "x-athanor-digest": release.digest,
        "x-athanor-variant": "champion",
    }
    _, call = server.call(method, request_, metadata=(("x-request-id", "not mine"),))
    assert len(dict(call.trailing_metadata())["x-request-id"]) == 32


@pytest.mark.parametrize(("method", "request_"), QUESTIONS)
def test_a_sticky_key_chooses_the_variant(
    closed: GrpcServer, stage: Stage, tmp_path: Path, method: str, request_: Any
) -> None:
    stage.direct(FIRST, SECOND, 0.5, THIRD)
    with open_handler(stage.core(), tmp_path / "service") as opened:
        closed.open(opened)
        found = [
            {
                dict(closed.call(method, request_, metadata=(("x-athanor-sticky-key", key),))[1].trailing_metadata())[
                    "x-athanor-variant"
                ]
                for _ in range(2)
            }
            for key in map(str, range(12))
        ]
    assert all(len(variants) == 1 for variants in found)
    assert set.union(*found) == {"champion", "challenger"}


_BAD: Final = make_request(make_flight(), make_flight(distance=-1, origin="lga"))


@pytest.mark.parametrize(
    ("method", "request_", "code", "reason"),
    [
        (PREDICT, _BAD, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (PREDICT, make_request(), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (PREDICT, make_request(make_flight(), model_name="weather"), grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
        (PREDICT, make_request(make_flight(), semantic_version="9.9.9"), grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
        (PREDICT, bytes(20_001), grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE"),
        (FEATURES, bytes(20_001), grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE"),
        (f"{OIP}ModelInfer", bytes(20_001), grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE"),
        (f"{OIP}ModelInfer", oip.ModelInferRequest(), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (f"{OIP}ModelInfer", oip.ModelInferRequest(model_name="x"), grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
        (f"{OIP}ModelMetadata", oip.ModelMetadataRequest(name="x"), grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
        (FEATURES, b"\xff", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    ],
)
def test_a_refusal_names_its_reason_and_the_request(
    server: GrpcServer, method: str, request_: Any, code: grpc.StatusCode, reason: str
) -> None:
    error = _refuse(server, method, request_, metadata=(("x-request-id", "mine"),))
    assert error.code() is code
    assert _details(error)["ErrorInfo"].reason == reason
    assert dict(error.trailing_metadata())["x-request-id"] == "mine"
    assert server.call(PREDICT, REQUEST)


def test_every_violation_is_in_the_details(server: GrpcServer) -> None:
    found = _details(_refuse(server, PREDICT, _BAD))["BadRequest"].field_violations
    assert [violation.field for violation in found] == ["flights[1].origin", "flights[1].distance"]


@pytest.fixture
def guarded(closed: GrpcServer, core: Core, tmp_path: Path) -> Iterator[tuple[GrpcServer, OpenHandler]]:
    with open_handler(core, tmp_path / "service", insecure=False) as opened:
        closed.open(opened)
        yield closed, opened


@pytest.mark.parametrize(("method", "request_"), [*QUESTIONS, *METADATA])
def test_a_request_without_a_valid_token_is_refused(
    guarded: tuple[GrpcServer, OpenHandler], method: str, request_: Any
) -> None:
    server, _ = guarded
    for sent in ((), (("authorization", "Bearer athn_x"),), (("authorization", "Basic eDp5"),)):
        error = _refuse(server, method, request_, metadata=sent)
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert _details(error)["ErrorInfo"].reason == "UNAUTHENTICATED"


def test_health_needs_no_token(guarded: tuple[GrpcServer, OpenHandler]) -> None:
    for method, request_ in (*ALIVE, (HEALTH, health_pb2.HealthCheckRequest())):
        assert guarded[0].call(method, request_)


def test_a_refusal_for_overload_says_when_to_retry(closed: GrpcServer, core: Core, tmp_path: Path) -> None:
    go = threading.Event()
    core.interface.max_rows = 1_000
    large = make_request(*[make_flight()] * 300)
    watch_champion(core, lambda rows: go.wait(60))
    with open_handler(core, tmp_path / "service", max_in_flight=2) as opened:
        closed.open(opened)
        ask: Any = closed.channel.unary_unary(PREDICT, None, None)
        calls = [ask.future(large.SerializeToString(), timeout=60) for _ in range(2)]
        closed.run(_wait_until_held(opened, 2))
        error = _refuse(closed, PREDICT, REQUEST)
        go.set()
        assert all(call.result() for call in calls)
        assert closed.call(PREDICT, REQUEST)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert _details(error)["RetryInfo"].retry_delay.seconds == 1
    metadata = dict(error.trailing_metadata())
    assert (metadata["retry-after"], metadata["grpc-retry-pushback-ms"]) == ("1", "1000")


async def _wait_until_held(opened: OpenHandler, count: int) -> None:
    while opened.handler.models.capacity.requests.held < count:
        await asyncio.sleep(0.001)


def test_a_request_is_refused_after_its_deadline(closed: GrpcServer, core: Core, tmp_path: Path) -> None:
    with open_handler(core, tmp_path / "service", max_deadline_s=1e-9) as opened:
        closed.open(opened)
        error = _refuse(closed, PREDICT, REQUEST)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert _details(error)["ErrorInfo"].reason == "DEADLINE_EXCEEDED"


def _fail(rows: int) -> None:
    raise ZeroDivisionError("secret")


@pytest.mark.parametrize(("method", "request_"), QUESTIONS)
def test_an_unexpected_error_is_reported_without_its_text(
    closed: GrpcServer, core: Core, tmp_path: Path, method: str, request_: Any
) -> None:
    watch_champion(core, _fail)
    with open_handler(core, tmp_path / "service") as opened:
        closed.open(opened)
        error = _refuse(closed, method, request_, metadata=(("x-request-id", "mine"),))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(error)
    assert "mine" in error.details()
