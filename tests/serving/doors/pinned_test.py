"""A pinned version at the doors: callers name it, and every place that lists versions or variants has it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.flights import make_columns
from support.grpc_server import OIP, GrpcServer
from support.handlers import OpenHandler, open_handler
from support.releases import expected_probability
from support.rest import RestClient
from support.serving import FIRST, SECOND, THIRD, Stage
from support.tensors import to_json

from inference import open_inference_pb2

_MODEL = "/v2/models/delays"
_TENSORS = json.dumps(to_json(make_columns(3))).encode()


@pytest.fixture
def opened(stage: Stage, tmp_path: Path) -> Iterator[OpenHandler]:
    """Champion 2.0.0, pinned 1.0.0, shadow 3.0.0."""
    stage.direct(SECOND, shadow=THIRD, pinned=[FIRST])
    log = tmp_path / "log"
    with open_handler(stage.core(), tmp_path / "service", prediction_log=log) as handler:
        yield handler


@pytest.mark.parametrize(
    ("path", "version", "variant", "middle"),
    [(f"{_MODEL}/versions/1.0.0", "1.0.0", "pinned", FIRST), (_MODEL, "2.0.0", "champion", SECOND)],
)
def test_it_answers_those_who_name_it(
    opened: OpenHandler, path: str, version: str, variant: str, middle: float
) -> None:
    response = RestClient(opened).post(f"{path}/infer", content=_TENSORS)
    assert (response.headers["x-athanor-version"], response.headers["x-athanor-variant"]) == (version, variant)
    answer = response.json()
    assert (answer["model_version"], answer["parameters"]["variant"]) == (version, variant)
    expected = [expected_probability(distance, middle) for distance in make_columns(3)["distance"].tolist()]
    assert answer["outputs"][0]["data"] == pytest.approx(expected, abs=1e-6)
    assert f'variant="{variant}"' in opened.metrics()
    opened.close()
    logged = {(row["variant"], row["semantic_version"]) for row in opened.predictions()}
    assert logged == {(variant, version), ("shadow", "3.0.0")}


def test_it_is_listed_wherever_versions_are(opened: OpenHandler) -> None:
    client = RestClient(opened)
    assert client.get(_MODEL).json()["versions"] == ["1.0.0", "2.0.0"]
    assert client.get(f"{_MODEL}/versions/1.0.0/ready").json() == {"name": "delays", "ready": True}
    assert client.get(f"{_MODEL}/versions/3.0.0/ready").status_code == 404
    assert '["", "1.0.0", "2.0.0"]' in json.dumps(client.get("/openapi.json").json())
    assert "1.0.0" in client.get("/docs").text
    refused = client.post(f"{_MODEL}/versions/3.0.0/infer", content=_TENSORS)
    assert refused.status_code == 404
    assert "'3.0.0' is not served; ask for '1.0.0' or '2.0.0'" in refused.json()["detail"]


@pytest.mark.parametrize(("version", "is_ready"), [("1.0.0", True), ("3.0.0", False)])
def test_it_is_ready_over_grpc(closed: GrpcServer, opened: OpenHandler, version: str, is_ready: bool) -> None:
    closed.open(opened)
    asked = open_inference_pb2.ModelReadyRequest(name="delays", version=version)
    answer, _ = closed.call(f"{OIP}ModelReady", asked, open_inference_pb2.ModelReadyResponse)
    assert answer.ready is is_ready
