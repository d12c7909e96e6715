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
from athanor.serving.formats.problems import media_type_of
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


def test_the_first_violations_are_named_and_the_others_counted(client: RestClient) -> None:
    problem = _refuse(client, json.dumps({"flights": [{}] * 50}).encode())
    assert (len(problem["violations"]), problem["unlisted_violations"]) == (100, 250)
    assert problem["violations"][0]["field"] == "flights[0].scheduled_departure"
    assert problem["violations"][-1]["field"] == "flights[14].carrier"
    assert problem["detail"].startswith(
        "350 values in 50 of 50 rows break the contract: flights[0].scheduled_departure is required; give "
    )
    assert problem["detail"].endswith("; and 347 more")


def test_a_single_violation_is_in_the_singular(client: RestClient) -> None:
    detail = _refuse(client, _body(distance=-1))["detail"]
    assert detail.startswith("1 value in 1 row breaks the contract: flights[0].distance -1.0 is not allowed (MINIMUM)")


@pytest.mark.parametrize("body", [b"{}", b'{"flights": []}', b'{"flights": null}'])
def test_a_request_without_rows_is_refused(client: RestClient, body: bytes) -> None:
    (violation,) = _refuse(client, body)["violations"]
    assert (violation["field"], violation["rule"]) == ("flights", "REQUIRED")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not valid JSON: "),
        (b"{", "the body is not valid JSON: "),
        (b"null", "the body is null; give an object"),
        (b"[]", "the body is a list; give an object"),
        (b"1", "the body is 1; give an object"),
        (b'"flights"', "the body is 'flights'; give an object"),
        (b"\xff\xfe", "the body is not UTF-8, but looks like UTF-16"),
        (_body().decode().encode("utf-16-le"), "the body is not UTF-8, but looks like UTF-16"),
        (b'{"flights": [{"carrier": "\xff"}]}', "the body is not UTF-8: byte 26 is 0xff"),
        (b"[" * 1_000, "the body is not valid JSON for a request: it is nested too deeply"),
        (b'{"flights":' * 1_000, "the body is not valid JSON for a request: it is nested too deeply"),
        (b'{"flights": [], "flights": []}', "the body has 'flights' twice"),
        (
            b'{"flights": [{"carrier": "UA", "carrier": "UA"}]}',
            "the body is not valid JSON: 'carrier' is twice",
        ),
    ],
)
def test_a_malformed_body_is_refused_with_the_reason(client: RestClient, body: bytes, message: str) -> None:
    problem = _refuse(client, body)
    assert problem["detail"].startswith(message)
    assert "violations" not in problem


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"flights":' * 100_000, b'{"flights": [' + b"[]," * 50_000 + b"{}]}"]
)
def test_a_body_of_more_values_than_rows_can_have_is_refused_before_it_is_read(client: RestClient, body: bytes) -> None:
    problem = _refuse(client, body)
    assert problem["detail"].startswith("the body has more than 1050 lists and objects, or 1950 values in them")
    assert [(v["field"], v["rule"]) for v in problem["violations"]] == [("flights", "TOO_MANY")]


def test_brackets_and_commas_in_a_text_are_not_counted(client: RestClient) -> None:
    for text in (",[{" * 5_000, '\\"[,' * 5_000, "\\[" * 9_999 + "\\"):
        (violation,) = _refuse(client, _body(carrier=text))["violations"]
        assert violation["rule"] == "PATTERN"


@pytest.mark.parametrize(
    ("body", "field", "rule", "message"),
    [
        (b'{"rows": []}', "'rows'", "UNKNOWN", "is not a member of a request; give flights, modelName, model_name, "),
        (b'{"flights": {}}', "flights", "TYPE", "is an object; give a list of rows"),
        (b'{"flights": 1}', "flights", "TYPE", "is 1; give a list of rows"),
        (b'{"semanticVersion": 1}', "semantic_version", "TYPE", "is 1; give text"),
        (b'{"semanticVersion": ["1"]}', "semantic_version", "TYPE", "is a list; give text"),
    ],
)
def test_a_wrong_member_is_a_violation(client: RestClient, body: bytes, field: str, rule: str, message: str) -> None:
    (violation,) = _refuse(client, body)["violations"]
    assert (violation["field"], violation["rule"]) == (field, rule)
    assert violation["description"].startswith(f"{field} {message}")


@pytest.mark.parametrize("row", [None, 1, [], "x"])
def test_a_row_that_is_no_object_is_a_violation(client: RestClient, row: Any) -> None:
    first = _refuse(client, json.dumps({"flights": [_FLIGHT, row]}).encode())["violations"]
    assert ("flights[1]", "TYPE") in [(v["field"], v["rule"]) for v in first]


@pytest.mark.parametrize(
    ("name", "value", "rule", "message"),
    [
        ("arrivedLate", True, "UNKNOWN", "flights[0].'arrivedLate' is not a column"),
        ("distance", "far", "TYPE", "flights[0].distance 'far' is not a number; give a number from 1 to 6000 [mi_i]"),
        ("distance", [1], "TYPE", "flights[0].distance a list is not a number"),
        ("distance", True, "TYPE", "flights[0].distance true is not a number"),
        ("distance", 1e400, "FINITE", "flights[0].distance inf is not allowed"),
        ("distance", "1e400", "FINITE", "flights[0].distance inf is not allowed"),
        ("flightNumber", 1.5, "WHOLE", "flights[0].flight_number 1.5 is not allowed"),
        ("flightNumber", 2**31, "MAXIMUM", "flights[0].flight_number 2147483648.0 is not allowed"),
        ("carrier", 1, "TYPE", "flights[0].carrier 1 is not text; give text that matches"),
        ("carrier", "\ud800", "ENCODING", "flights[0].carrier is not valid UTF-8"),
        (
            "scheduledDeparture",
            "yesterday",
            "ENCODING",
            "flights[0].scheduled_departure 'yesterday' is not a time; give",
        ),
        (
            "scheduledDeparture",
            "2013-01-01T10:15:00",
            "ENCODING",
            "flights[0].scheduled_departure '2013-01-01T10:15:00' has no time zone",
        ),
        ("scheduledDeparture", "0000-01-01T00:00:00Z", "ENCODING", "flights[0].scheduled_departure '0000"),
        ("scheduledDeparture", "0001-01-01T00:00:00+01:00", "TIMESTAMP", "flights[0].scheduled_departure "),
        ("scheduledDeparture", 5, "TYPE", "flights[0].scheduled_departure 5 is not text; give RFC 3339"),
        ("flight_number", 7, "DUPLICATE", "flights[0].flight_number is given by both of its names"),
    ],
)
def test_a_value_that_cannot_be_read_is_a_violation(
    client: RestClient, name: str, value: Any, rule: str, message: str
) -> None:
    (violation,) = _refuse(client, _body(**{name: value}))["violations"]
    assert violation["rule"] == rule
    assert violation["description"].startswith(message)


def test_a_number_of_many_digits_is_infinite(client: RestClient) -> None:
    for digits in (b"1" * 5_000, b"-" + b"1" * 5_000):
        problem = _refuse(client, b'{"flights": [{"distance": ' + digits + b"}]}")
        assert ("flights[0].distance", "FINITE") in [(v["field"], v["rule"]) for v in problem["violations"]]


def test_a_row_of_many_members_is_one_violation(client: RestClient) -> None:
    row = {f"k{number}": 0 for number in range(1_500)}
    (violation,) = [
        v for v in _refuse(client, json.dumps({"flights": [row]}).encode())["violations"] if v["rule"] == "TOO_MANY"
    ]
    assert violation["description"] == "flights[0] has 1500 members; give each column once"


def test_all_that_is_wrong_is_named_at_once(client: RestClient) -> None:
    rows = [{**_FLIGHT, "distance": "far", "carrier": "?", "more": 1}, {**_FLIGHT, "origin": 3, "flightNumber": 0}]
    problem = _refuse(client, json.dumps({"flights": rows}).encode())
    assert [(v["field"], v["rule"]) for v in problem["violations"]] == [
        ("flights[0].carrier", "PATTERN"),
        ("flights[0].distance", "TYPE"),
        ("flights[0].'more'", "UNKNOWN"),
        ("flights[1].flight_number", "MINIMUM"),
        ("flights[1].origin", "TYPE"),
    ]
    assert problem["detail"].startswith("5 values in 2 of 2 rows break the contract: flights[0].carrier '?' ")


@pytest.mark.parametrize(
    "changed",
    [{"distance": "1000"}, {"distance": 1000.0}, {"distance": "1e3"}, {"flightNumber": "1545"}, {"temperature": "NaN"}],
)
def test_numbers_may_be_text(client: RestClient, changed: dict[str, Any]) -> None:
    assert client.post(_PATH, content=_body(**changed)).status_code == 200


def test_a_byte_order_mark_and_bare_nan_are_read(client: RestClient) -> None:
    body = _body(temperature=float("nan"))
    assert b"NaN" in body
    assert client.post(_PATH, content=b"\xef\xbb\xbf" + body).status_code == 200


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
    assert response.headers["content-type"] == media_type_of(path)
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
    assert row["prediction"] == client.post(_PATH, content=_body()).json()["predictions"][0]
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
