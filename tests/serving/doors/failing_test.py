"""At every door, a request on which the model fails, or that it answers wrongly, fails alone and by name."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from support.failing import make_core, make_dividing_graph, make_strict_graph
from support.flights import make_columns, make_flight
from support.grpc_server import FEATURES, OIP, PREDICT, GrpcServer
from support.handlers import OpenHandler, open_handler
from support.releases import make_graph
from support.rest import RestClient
from support.serving import make_request
from support.tensors import to_json, to_request

from athanor.inspection.v1 import inspection_pb2

_NEW: Final = {"carrier": "ZZ"}
_NAN: Final = {"distance": 4_000.0}
_GOOD: Final = {"carrier": "UA", "distance": 1_000.0}


@pytest.fixture(params=["strict", "dividing"])
def case(request: pytest.FixtureRequest) -> Any:
    """A graph, a bad row, and how the service refuses it: gRPC code, HTTP status, code and rule."""
    if request.param == "strict":
        return make_strict_graph(), _NEW, grpc.StatusCode.INVALID_ARGUMENT, 400, "NOT_COMPUTABLE", "COMPUTABLE"
    return make_dividing_graph(), _NAN, grpc.StatusCode.INTERNAL, 500, "INVALID_ANSWER", "REQUIRED"


@pytest.fixture
def opened(case: Any, tmp_path: Path) -> Iterator[OpenHandler]:
    with open_handler(make_core(tmp_path, case[0]), tmp_path / "service", prediction_log=tmp_path / "log") as opened:
        yield opened


def _columns(*rows: dict[str, Any]) -> dict[str, Any]:
    columns = make_columns(len(rows))
    for position, row in enumerate(rows):
        for name, value in {**_GOOD, **row}.items():
            columns[name][position] = value
    return columns


def _flights(*rows: dict[str, Any]) -> list[Any]:
    return [make_flight(**{**_GOOD, **row}) for row in rows]


def _typed_json(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"flights": [json_format.MessageToDict(flight) for flight in _flights(*rows)]}).encode()


def _tensor_json(*rows: dict[str, Any]) -> bytes:
    return json.dumps(to_json(_columns(*rows))).encode()


@pytest.mark.parametrize(
    ("path", "write", "field"),
    [
        ("/v1/models/delays:predict", _typed_json, "flights"),
        ("/v1/models/delays:features", _typed_json, "flights"),
        ("/v2/models/delays/infer", _tensor_json, "inputs"),
    ],
)
def test_over_rest(opened: OpenHandler, case: Any, path: str, write: Any, field: str) -> None:
    _, bad, _, status, code, rule = case
    client = RestClient(opened)

    async def ask() -> list[Any]:
        bodies = [write({}), write({}, {}, bad), *[write({})] * 20, write(bad)]
        return await asyncio.gather(*(client.ask("POST", path, content=body) for body in bodies))

    responses = asyncio.run(ask())
    assert [response.status_code for response in responses] == [200, status, *[200] * 20, status]
    problem = responses[1].json()
    assert problem["code"] == code
    (violation,) = problem["violations"]
    column = "carrier" if rule == "COMPUTABLE" else ""
    typed, tensor = f"flights[2].{column}".rstrip("."), f"inputs.{column}[2]".replace(".[", "[")
    assert violation["field"] == (typed if field == "flights" else tensor)
    assert violation["rule"] == rule


@pytest.mark.parametrize(
    ("method", "write"),
    [
        (PREDICT, lambda *rows: make_request(*_flights(*rows))),
        (
            FEATURES,
            lambda *rows: inspection_pb2.ComputeFeaturesRequest(
                request=make_request(*_flights(*rows)).SerializeToString()
            ),
        ),
        (f"{OIP}ModelInfer", lambda *rows: to_request(_columns(*rows))),
        (f"{OIP}ModelInfer", lambda *rows: to_request(_columns(*rows), raw=True)),
    ],
)
def test_over_grpc(closed: GrpcServer, opened: OpenHandler, case: Any, method: str, write: Any) -> None:
    _, bad, expected, _, code, rule = case
    closed.open(opened)
    ask: Any = closed.channel.unary_unary(method, None, None)
    requests = [write({}), write({}, {}, bad), *[write({})] * 20, write(bad)]
    calls = [ask.future(request.SerializeToString(), timeout=60) for request in requests]
    codes = [call.code() for call in calls]
    assert codes == [grpc.StatusCode.OK, expected, *[grpc.StatusCode.OK] * 20, expected]
    status = status_pb2.Status.FromString(dict(calls[1].trailing_metadata())["grpc-status-details-bin"])
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(request)
    assert info.reason == code
    violations: Any = request.field_violations  # the stubs do not know `reason` yet
    (violation,) = violations
    assert "[2]" in violation.field
    assert violation.reason == rule


def test_only_answers_are_counted_and_logged(opened: OpenHandler, case: Any) -> None:
    _, bad, _, _, code, rule = case
    client = RestClient(opened)
    asked: tuple[list[dict[str, Any]], ...] = ([{}], [{}, bad])
    for rows in asked:
        client.post("/v1/models/delays:predict", content=_typed_json(*rows))
    metrics = opened.metrics()
    requests = 'athanor_requests_total{code="%s",door="rest",model="delays",semantic_version="%s",variant="%s"} 1.0'
    assert requests % ("OK", "1.0.0", "champion") in metrics
    assert requests % (code, "", "") in metrics
    assert f'athanor_violations_total{{model="delays",rule="{rule}"}} 1.0' in metrics
    assert "athanor_rows_total" in metrics
    opened.close()
    assert [row["late_probability"] for row in opened.predictions()] == pytest.approx([0.5])


@pytest.mark.parametrize(("graph", "bad"), [(make_strict_graph(), _NEW), (make_dividing_graph(), _NAN)])
def test_a_shadow_that_fails_on_a_row_answers_the_others(
    tmp_path: Path, graph: bytes, bad: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    core = make_core(tmp_path, make_graph(), shadow=graph)
    with open_handler(core, tmp_path / "service", prediction_log=tmp_path / "log") as opened:
        client = RestClient(opened)

        async def ask() -> list[Any]:
            bodies = [_typed_json({}), _typed_json({}, bad), *[_typed_json({})] * 6]
            return await asyncio.gather(
                *(client.ask("POST", "/v1/models/delays:predict", content=body) for body in bodies)
            )

        assert {response.status_code for response in asyncio.run(ask())} == {200}
        opened.model.shadow.close()
        metrics = opened.metrics()
        assert 'athanor_shadow_requests_total{model="delays",semantic_version="2.0.0"} 7.0' in metrics
        assert 'athanor_shadow_dropped_total{model="delays"} 1.0' in metrics
        opened.close()
        of_shadow = [row["late_probability"] for row in opened.predictions() if row["variant"] == "shadow"]
    assert of_shadow == pytest.approx([0.5] * 7)
    # onnxruntime would write the values of the request.
    assert "ExecuteKernel" not in capfd.readouterr().err
