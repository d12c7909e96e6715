"""The REST door, as a caller in the same process sees it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from support.flights import make_flight
from support.handlers import open_handler
from support.releases import expected_probability
from support.rest import RestClient

from athanor.release.files import Release
from athanor.serving.answering.core import Core
from projects.delays.model import MODEL

_PATH = "/v1/models/delays:predict"
_FEATURES_PATH = "/v1/models/delays:features"
_FLIGHT: dict[str, Any] = json_format.MessageToDict(make_flight(distance=1_000))


@pytest.fixture
def client(core: Core, tmp_path: Path) -> Iterator[RestClient]:
    with open_handler(core, tmp_path / "service") as opened:
        yield RestClient(opened)


def _body(**changed: Any) -> bytes:
    return json.dumps({"flights": [{**_FLIGHT, **changed}]}).encode()


def _refuse(client: RestClient, body: bytes) -> dict[str, Any]:
    """Sends a bad request, and checks that the service refuses it and still answers others."""
    response = client.post(_PATH, content=body)
    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert client.post(_PATH, content=_body()).status_code == 200
    problem: dict[str, Any] = response.json()
    assert problem["type"] == "urn:athanor:error:INVALID_REQUEST"
    assert problem["status"] == 400
    assert problem["request_id"]
    return problem


def test_a_good_request_is_answered_in_protobuf_json(client: RestClient, release: Release) -> None:
    response = client.post(_PATH, content=_body(), headers={"x-request-id": "my-request"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "predictions": [{"lateProbability": pytest.approx(0.5)}],
        "modelName": "delays",
        "semanticVersion": "1.2.3",
        "releaseDigest": release.digest,
        "requestId": "my-request",
        "variant": "champion",
    }


def test_fields_may_be_named_as_in_the_proto_too(client: RestClient) -> None:
    body = json_format.MessageToJson(make_flight(distance=5_000), preserving_proto_field_name=True)
    response = client.post(_PATH, content=f'{{"flights": [{body}]}}')
    assert response.json()["predictions"][0]["lateProbability"] == pytest.approx(expected_probability(5_000), abs=1e-6)


def test_without_a_request_id_one_is_made(client: RestClient) -> None:
    ids = {client.post(_PATH, content=_body()).json()["requestId"] for _ in range(2)}
    assert len(ids) == 2
    assert all(len(made) == 32 for made in ids)


@pytest.mark.parametrize(
    ("changed", "field", "rule"),
    [
        ({"distance": -1}, "distance", "MINIMUM"),
        ({"distance": "NaN"}, "distance", "REQUIRED"),
        ({"distance": "Infinity"}, "distance", "FINITE"),
        ({"distance": "-Infinity"}, "distance", "FINITE"),
        ({"distance": None}, "distance", "REQUIRED"),
        ({"temperature": "Infinity"}, "temperature", "FINITE"),
        ({"carrier": ""}, "carrier", "REQUIRED"),
        ({"carrier": "飛\x00"}, "carrier", "PATTERN"),
        ({"origin": "lga"}, "origin", "CATEGORY"),
        ({"flightNumber": 10_000}, "flight_number", "MAXIMUM"),
    ],
)
def test_a_violation_names_field_and_rule(client: RestClient, changed: dict[str, Any], field: str, rule: str) -> None:
    (violation,) = _refuse(client, _body(**changed))["violations"]
    assert (violation["field"], violation["rule"]) == (f"flights[0].{field}", rule)
    assert violation["description"].startswith(f"flights[0].{field} ")


def test_a_missing_value_may_be_nan(client: RestClient) -> None:
    assert client.post(_PATH, content=_body(temperature="NaN")).status_code == 200


def test_every_violation_of_every_row_is_named(client: RestClient) -> None:
    problem = _refuse(client, json.dumps({"flights": [{}] * 50}).encode())
    assert len(problem["violations"]) == 50 * 7
    assert problem["detail"] == "350 values in 50 of the rows break the contract"


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"flights": []}', b'{"flights": null}'])
def test_a_request_without_rows_is_refused(client: RestClient, body: bytes) -> None:
    (violation,) = _refuse(client, body)["violations"]
    assert (violation["field"], violation["rule"]) == ("flights", "REQUIRED")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut short"),
        pytest.param(b"null", id="null"),
        pytest.param(b"1", id="number"),
        pytest.param(b'"flights"', id="text"),
        pytest.param(b"\xff\xfe", id="no utf-8"),
        pytest.param(b'{"flights": [{"carrier": "\xff"}]}', id="no utf-8 inside"),
        pytest.param(b'{"flights": [{"carrier": "\\ud800"}]}', id="half a surrogate"),
        pytest.param(b"[" * 100_000, id="deep arrays"),
        pytest.param(b'{"flights":' * 100_000, id="deep objects"),
        pytest.param(b'{"flights": [null]}', id="null row"),
        pytest.param(b'{"flights": {}}', id="rows that are not an array"),
        pytest.param(b'{"flights": [1]}', id="row that is not an object"),
        pytest.param(b'{"rows": []}', id="unknown field"),
        pytest.param(_body(arrivedLate=True), id="outcome"),
        pytest.param(b'{"flights": [], "flights": []}', id="field given twice"),
        pytest.param(_body(distance="far"), id="text for a number"),
        pytest.param(_body(distance=[1]), id="array for a number"),
        pytest.param(b'{"flights": [{"distance": NaN}]}', id="bare NaN"),
        pytest.param(b'{"flights": [{"distance": 1e400}]}', id="number too large"),
        pytest.param(b'{"flights": [{"distance": ' + b"1" * 5_000 + b"}]}", id="number too long"),
        pytest.param(_body(flightNumber=1.5), id="broken number for a whole one"),
        pytest.param(_body(flightNumber=2**31), id="whole number too large"),
        pytest.param(_body(carrier=1), id="number for text"),
        pytest.param(_body(scheduledDeparture="yesterday"), id="no instant"),
        pytest.param(_body(scheduledDeparture="0000-01-01T00:00:00Z"), id="instant too early"),
        pytest.param(_body(scheduledDeparture=5), id="number for an instant"),
    ],
)
def test_a_malformed_body_is_refused_with_the_expected_message(client: RestClient, body: bytes) -> None:
    problem = _refuse(client, body)
    assert problem["detail"].startswith("the body is not a valid delays.v1.PredictRequest in protobuf JSON: ")
    assert "violations" not in problem


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/weather:predict", _body()),
        ("/v1/models/%F0%9F%9B%AB:predict", _body()),
        ("/v1/models/%FF:predict", _body()),
        ("/v1/models/%00:predict", _body()),
        (f"/v1/models/{'x' * 10_000}:predict", _body()),
        (_PATH, json.dumps({"flights": [_FLIGHT], "semanticVersion": "9.9.9"}).encode()),
    ],
)
def test_another_model_or_version_is_not_found(client: RestClient, path: str, body: bytes) -> None:
    response = client.post(path, content=body)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "MODEL_NOT_FOUND"


def test_the_model_in_the_path_overrides_the_body(client: RestClient) -> None:
    body = json.dumps({"flights": [_FLIGHT], "modelName": "weather"}).encode()
    assert client.post(_PATH, content=body).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/models/delays", 404),
        ("POST", "/v1/models/delays:explain", 404),
        ("GET", _PATH, 405),
        ("GET", _FEATURES_PATH, 405),
        ("DELETE", "/livez", 405),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/delays/versions", 404),
        ("POST", "/v2", 405),
        ("GET", "/v2/models/delays/infer", 405),
        ("PUT", "/metrics", 405),
    ],
)
def test_unknown_paths_and_methods_are_problems_too(client: RestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path, headers={"x-request-id": "my-request"})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["request_id"]) == (status, "my-request")
    assert problem["detail"].startswith(f"{method} {path}: ")


def test_features_are_answered_by_name_with_the_prediction(client: RestClient, release: Release) -> None:
    response = client.post(_FEATURES_PATH, content=_body(temperature=None), headers={"x-request-id": "my-request"})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    answer = response.json()
    (row,) = answer.pop("rows")
    assert list(row["features"]) == [*MODEL.features.numeric, *MODEL.features.categorical]
    assert (row["features"]["distance"], row["features"]["carrier"], row["features"]["temperature"]) == (
        1_000,
        "UA",
        None,
    )
    assert row["probability"] == client.post(_PATH, content=_body()).json()["predictions"][0]["lateProbability"]
    assert answer == {
        "modelName": "delays",
        "semanticVersion": "1.2.3",
        "releaseDigest": release.digest,
        "requestId": "my-request",
        "variant": "champion",
    }


@pytest.mark.parametrize(
    "value", [1 / 3 + 1, 1.1, 16_777_217 / 4_096, float(np.nextafter(np.float32(1), np.float32(2)))]
)
def test_a_feature_keeps_its_bits(client: RestClient, value: float) -> None:
    (row,) = client.post(_FEATURES_PATH, content=_body(distance=value)).json()["rows"]
    assert row["features"]["distance"] == float(np.float32(value))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (_FEATURES_PATH, b"[]", 400),
        (_FEATURES_PATH, b"{}", 400),
        (_FEATURES_PATH, json.dumps({"flights": [{}] * 50}).encode(), 400),
        (_FEATURES_PATH, json.dumps({"flights": [_FLIGHT] * 51}).encode(), 400),
        (_FEATURES_PATH, json.dumps({"flights": [_FLIGHT], "semanticVersion": "9.9.9"}).encode(), 404),
        ("/v1/models/weather:features", _body(), 404),
    ],
)
def test_features_are_refused_for_the_same_reasons_as_predict(
    client: RestClient, path: str, body: bytes, status: int
) -> None:
    headers = {"x-request-id": "my-request"}
    refused = client.post(path, content=body, headers=headers)
    assert refused.status_code == status
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json() == client.post(path.replace("features", "predict"), content=body, headers=headers).json()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready"])
def test_health_is_answered(client: RestClient, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/docs/", "/livez/", "/v1/models/delays:predict/", "//livez"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_answer_leads_to_a_host_that_the_caller_names(client: RestClient, method: str, path: str) -> None:
    response = client.request(method, path, headers={"host": "elsewhere.example"})
    assert response.status_code == 404
    assert "location" not in response.headers
    assert "elsewhere" not in response.text


def test_a_refusal_before_the_body_is_read_ends_the_connection(core: Core, tmp_path: Path) -> None:
    with open_handler(core, tmp_path / "service", insecure=False, max_message_bytes=1_024) as opened:
        response = RestClient(opened).post("/v1/models/delays:predict", content=b"{}")
    assert (response.status_code, response.headers["connection"]) == (401, "close")
    with open_handler(core, tmp_path / "open", max_message_bytes=1_024) as opened:
        client = RestClient(opened)
        responses = [client.post("/v1/models/delays:predict", content=content) for content in (b" " * 2_000, b"{")]
    assert [(each.status_code, each.headers.get("connection")) for each in responses] == [(413, "close"), (400, None)]
