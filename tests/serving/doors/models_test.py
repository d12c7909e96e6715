"""Several models behind the same doors: each request is answered by its own, and one leaves the others alone."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import pytest
from google.protobuf import json_format
from support.flights import make_columns, make_flight
from support.grpc_server import FEATURES, HEALTH, OIP, GrpcServer
from support.handlers import OpenHandler, open_handler_of
from support.releases import expected_probability
from support.rest import RestClient
from support.serving import make_request
from support.tensors import to_request
from support.wires import make_release_of, repackage

from athanor.errors import ModelNotFoundError, OverloadedError
from athanor.inspection.v1 import inspection_pb2
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import make_token
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from athanor.serving.doors.grpc import report_model
from athanor.serving.doors.handler import Call, Exchange
from delays.v1 import delays_pb2
from grpc_health.v1 import health_pb2
from inference import open_inference_pb2 as oip

_MIDDLES: Final = {"delays": 1_000.0, "delays.v2": 2_000.0, "fares": 3_000.0}
_FLIGHT: Final = make_flight(distance=500)
_ANSWERS: Final = {model: expected_probability(500, middle) for model, middle in _MIDDLES.items()}


@pytest.fixture
def cores(tmp_path: Path) -> list[Core]:
    store = ReleaseStore(tmp_path / "store")
    for model, middle in _MIDDLES.items():
        package = model if model.endswith(".v2") else f"{model}.v1"
        release = make_release_of(tmp_path / "candidates", repackage(package), middle)
        store.publish(release)
        champion = Served(digest=release.digest, semantic_version="1.0.0")
        store.write_traffic(Traffic(model=model, revision=1, champion=champion))
    return [Core(Loader(model, store, 100)) for model in _MIDDLES]


@pytest.fixture
def opened(cores: list[Core], tmp_path: Path) -> Iterator[OpenHandler]:
    with open_handler_of(cores, tmp_path / "service", max_in_flight=8) as opened:
        yield opened


@pytest.fixture
def server(closed: GrpcServer, opened: OpenHandler) -> GrpcServer:
    closed.open(opened)
    return closed


def _path(model: str) -> str:
    package = model if model.endswith(".v2") else f"{model}.v1"
    return f"/{package}.DelaysService/Predict"


def _by_grpc(server: GrpcServer, model: str, **options: Any) -> tuple[str, float]:
    response, _ = server.call(_path(model), make_request(_FLIGHT), delays_pb2.PredictResponse, **options)
    return response.model_name, response.predictions[0].late_probability


def _by_inference(server: GrpcServer, model: str, **options: Any) -> tuple[str, float]:
    request = to_request({**make_columns(1), "distance": np.array([500.0])})
    request.model_name = model
    response, _ = server.call(f"{OIP}ModelInfer", request, oip.ModelInferResponse, **options)
    return response.model_name, response.outputs[0].contents.fp64_contents[0]


def _by_inspection(server: GrpcServer, model: str, **options: Any) -> tuple[str, float]:
    request = inspection_pb2.ComputeFeaturesRequest(model_name=model, request=make_request(_FLIGHT).SerializeToString())
    response, _ = server.call(FEATURES, request, inspection_pb2.ComputeFeaturesResponse, **options)
    return response.model_name, delays_pb2.Prediction.FromString(response.rows[0].prediction).late_probability


_GRPC: Final = (_by_grpc, _by_inference, _by_inspection)
Ask = Callable[..., tuple[str, float]]


@pytest.mark.parametrize("ask", _GRPC)
def test_each_model_answers_its_own_callers_over_grpc(server: GrpcServer, ask: Ask) -> None:
    for model, expected in _ANSWERS.items():
        name, probability = ask(server, model)
        assert name == model
        assert probability == pytest.approx(expected, abs=1e-6)


def test_each_model_answers_its_own_callers_over_rest(opened: OpenHandler) -> None:
    client = RestClient(opened)
    body = json.dumps({"flights": [json_format.MessageToDict(_FLIGHT)]})
    for model, expected in _ANSWERS.items():
        response = client.post(f"/v1/models/{model}:predict", content=body)
        assert response.status_code == 200, response.text
        found = response.json()
        assert (found["modelName"], found["predictions"][0]["lateProbability"]) == (
            model,
            pytest.approx(expected, abs=1e-6),
        )
        assert client.get(f"/v2/models/{model}").json()["name"] == model
        assert client.get(f"/v2/models/{model}/versions/1.0.0/ready").json() == {"name": model, "ready": True}


@pytest.mark.parametrize("ask", [_by_inference, _by_inspection])
def test_a_request_that_names_none_of_several_models_is_refused(server: GrpcServer, ask: Ask) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ask(server, "")
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "name a model; served: 'delays', 'delays.v2', 'fares'" in error.details()


def test_a_model_that_leaves_is_unknown_and_the_others_answer(server: GrpcServer, opened: OpenHandler) -> None:
    left = opened.handler.models.remove("delays")
    assert left is not None
    report_model(left, is_serving=False)
    with pytest.raises(grpc.RpcError) as caught:
        _by_grpc(server, "delays")
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND
    method = "'/delays.v1.DelaysService/Predict'"
    assert error.details() == f"no model has the method {method}; served: 'delays.v2', 'fares'"
    with pytest.raises(grpc.RpcError) as caught:
        _by_inference(server, "delays")
    assert "model 'delays' is not served here; served: 'delays.v2', 'fares'" in str(caught.value)
    assert RestClient(opened).post("/v1/models/delays:predict", content=b"{}").status_code == 404
    for model in ("delays.v2", "fares"):
        assert _by_grpc(server, model)[0] == model
    left.close()


def test_health_knows_each_model(server: GrpcServer, opened: OpenHandler) -> None:
    def check(service: str) -> int:
        response, _ = server.call(
            HEALTH, health_pb2.HealthCheckRequest(service=service), health_pb2.HealthCheckResponse
        )
        status: int = response.status
        return status

    serving = health_pb2.HealthCheckResponse.SERVING
    assert [check(service) for service in ("", "delays.v1.DelaysService", "delays.v2.DelaysService")] == [serving] * 3
    left = opened.handler.models.remove("delays")
    assert left is not None
    report_model(left, is_serving=False)
    with pytest.raises(grpc.RpcError, match=r"'delays\.v1\.DelaysService' is not served here"):
        check("delays.v1.DelaysService")
    assert check("") == serving
    report_model(opened.handler.models.put(left.core), is_serving=True)
    assert check("delays.v1.DelaysService") == serving


def test_a_token_of_one_model_opens_no_other(closed: GrpcServer, cores: list[Core], tmp_path: Path) -> None:
    with open_handler_of(cores, tmp_path / "guarded", insecure=False) as opened:
        closed.open(opened)
        token = make_token(opened.tokens_path, "team", Scope.ADMIN, models=["delays*"])
        metadata = (("authorization", f"Bearer {token}"),)
        for ask in _GRPC:
            assert [ask(closed, model, metadata=metadata)[0] for model in ("delays", "delays.v2")] == [
                "delays",
                "delays.v2",
            ]
            with pytest.raises(grpc.RpcError, match="PERMISSION_DENIED"):
                ask(closed, "fares", metadata=metadata)
        client, headers = RestClient(opened), {"authorization": f"Bearer {token}"}
        for method, path in (
            ("POST", "/v1/models/fares:predict"), ("POST", "/v1/models/fares:features"),
            ("POST", "/v2/models/fares/infer"), ("GET", "/v2/models/fares"), ("GET", "/v2/models/fares/ready"),
        ):  # fmt: skip
            assert client.request(method, path, headers=headers).status_code == 403, path
        assert client.get("/v2/models/delays", headers=headers).status_code == 200


def _end(exchange: Exchange) -> None:
    """Ends a request as one that is refused."""
    error = OverloadedError("the test is over")
    exchange.__exit__(OverloadedError, error, None)


def test_a_busy_model_takes_no_room_from_others(opened: OpenHandler) -> None:
    handler, busy = opened.handler, list[Exchange]()
    with suppress(OverloadedError):
        while True:
            busy.append(handler.admit(Call.read("rest", {}), "delays").__enter__())
    assert len(busy) == 4
    other = handler.admit(Call.read("rest", {}), "fares").__enter__()
    assert other.model.name == "fares"
    for exchange in (*busy, other):
        _end(exchange)
    assert opened.held == 0


def test_what_a_request_holds_moves_to_the_model_that_its_body_names(opened: OpenHandler) -> None:
    exchange = opened.handler.admit(Call.read("oip-grpc", {})).__enter__()
    exchange.receive(10)
    with pytest.raises(ModelNotFoundError):
        exchange.choose("weather")
    share = exchange.choose("fares").batcher.share
    assert (exchange.model.name, share.in_flight, share.bytes) == ("fares", 1, 10)
    _end(exchange)
    assert opened.held == share.in_flight == share.bytes == 0
