"""An answer that cannot be written is an error for the caller, the metrics and the logs, at every door."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import pytest
from google.protobuf import json_format
from support.flights import make_columns, make_flight
from support.grpc_server import FEATURES, INSPECTION, OIP, PREDICT, REQUEST, GrpcServer
from support.handlers import OpenHandler, open_handler
from support.rest import RestClient
from support.serving import FIRST, THIRD, Stage, WatchedPredictor
from support.tensors import to_json, to_request

from athanor.contract.columns import Columns
from athanor.contract.validation import Breach
from athanor.release.graph import FeatureArrays
from athanor.serving.answering.core import Core
from athanor.serving.answering.variants import Variant

_FLIGHTS: Final = json.dumps({"flights": [json_format.MessageToDict(make_flight(distance=1_000))]}).encode()
_JSON: Final = to_json(make_columns(3))
_BINARY: Final = {"parameters": {"binary_data_output": True}}

Ask = Callable[[GrpcServer, OpenHandler], str]


def _by_grpc(method: str, request: Any) -> Ask:
    def ask(server: GrpcServer, opened: OpenHandler) -> str:
        server.open(opened)
        with pytest.raises(grpc.RpcError) as caught:
            server.call(method, request)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.INTERNAL
        return str(error.details())

    return ask


def _by_rest(path: str, body: bytes) -> Ask:
    def ask(server: GrpcServer, opened: OpenHandler) -> str:
        response = RestClient(opened).post(path, content=body)
        assert (response.status_code, response.json()["code"]) == (500, "SERVICE_FAILED")
        return response.text

    return ask


_DOORS: Final = [
    ("grpc", _by_grpc(PREDICT, REQUEST)),
    ("inspection", _by_grpc(FEATURES, INSPECTION)),
    ("oip-grpc", _by_grpc(f"{OIP}ModelInfer", to_request(make_columns(3)))),
    ("oip-grpc", _by_grpc(f"{OIP}ModelInfer", to_request(make_columns(3), raw=True))),
    ("rest", _by_rest("/v1/models/delays:predict", _FLIGHTS)),
    ("inspection", _by_rest("/v1/models/delays:features", _FLIGHTS)),
    ("oip-rest", _by_rest("/v2/models/delays/infer", json.dumps(_JSON).encode())),
    ("oip-rest", _by_rest("/v2/models/delays/infer", json.dumps({**_JSON, **_BINARY}).encode())),
]


class _Unwritable(WatchedPredictor):
    """Answers numbers that no format has."""

    def predict(self, columns: Columns) -> Columns:
        found = super().predict(columns)
        return {name: np.array([complex(0, value) for value in values], np.object_) for name, values in found.items()}

    def predict_with_features(self, columns: Columns) -> tuple[Columns, FeatureArrays]:
        return self.predict(columns), super().predict_with_features(columns)[1]


class _Unchecked(Variant):
    """Lets all its answers pass, so that they come to be written."""

    def find_invalid(self, answers: Columns) -> tuple[Breach, ...]:
        return ()


@pytest.fixture
def core(stage: Stage) -> Core:
    """Its champion's answers cannot be written."""
    stage.direct(FIRST, shadow=THIRD)
    core = stage.core()
    champion = core.traffic.champion
    predictor = _Unwritable(champion.predictor, lambda rows: None)
    broken = _Unchecked(champion.name, champion.semantic_version, predictor)
    core.traffic = replace(core.traffic, champion=broken)
    return core


@pytest.fixture
def opened(core: Core, tmp_path: Path) -> Iterator[OpenHandler]:
    log = tmp_path / "predictions"
    with open_handler(core, tmp_path / "service", prediction_log=log, access_log_ratio=1.0) as opened:
        yield opened


@pytest.mark.parametrize(("door", "ask"), _DOORS)
def test_what_cannot_be_written_is_recorded_as_a_failure(
    closed: GrpcServer, opened: OpenHandler, caplog: pytest.LogCaptureFixture, door: str, ask: Ask
) -> None:
    with caplog.at_level(logging.INFO):
        shown = ask(closed, opened)
    assert "complex" not in shown
    opened.close()
    samples = [line for line in opened.metrics().splitlines() if line.startswith("athanor_requests_total{")]
    (sample,) = samples
    assert f'code="SERVICE_FAILED",door="{door}"' in sample or f'door="{door}",code="SERVICE_FAILED"' in sample
    assert sample.endswith(" 1.0")
    (record,) = [record for record in caplog.records if record.name == "athanor.serving.requests"]
    assert (record.levelname, record.message) == ("ERROR", "failed")
    assert not list(Path(str(opened.settings.prediction_log)).rglob("*.parquet"))
    assert "athanor_shadow_requests_total{" not in opened.metrics()


@pytest.mark.parametrize(("door", "ask"), _DOORS[:1])
def test_the_request_in_flight_ends_with_it(closed: GrpcServer, opened: OpenHandler, door: str, ask: Ask) -> None:
    ask(closed, opened)
    assert 'athanor_requests_in_flight{model="delays"} 0.0' in opened.metrics()
    assert opened.held == 0
