"""The REST door, asked by httpx."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import httpx
import pytest
from google.protobuf import json_format
from integration.bad_rows import BAD_FIELDS, make_bad_rows

from athanor.release.traffic import Traffic
from delays.v1 import delays_pb2, delays_pb2_grpc

Json: TypeAlias = dict[str, Any]

_URL = "/v1/models/delays:predict"
_PROBLEM = "application/problem+json"


def _problem(response: httpx.Response, status: int) -> Json:
    """The problem details of a refusal."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == _PROBLEM
    problem: Json = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"]
    return problem


def _bad_body() -> Json:
    """`bad_rows` as JSON. A moment beyond the year 9999 cannot be written so: see `test_..._no_message`."""
    rows = make_bad_rows()
    rows[2].scheduled_departure.FromJsonString("2013-01-01T10:15:00Z")
    return {"flights": [json_format.MessageToDict(row) for row in rows]}


def test_it_gives_the_numbers_that_grpc_gives(
    rest: httpx.Client, stub: delays_pb2_grpc.DelaysServiceStub, reference: Json
) -> None:
    response = rest.post(_URL, json={"flights": reference["rows"]})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    request = json_format.ParseDict({"flights": reference["rows"]}, delays_pb2.PredictRequest())
    by_grpc = [prediction.late_probability for prediction in stub.Predict(request, timeout=60).predictions]
    assert [prediction["lateProbability"] for prediction in response.json()["predictions"]] == by_grpc


def test_names_may_be_written_as_in_the_proto_or_in_camel_case(rest: httpx.Client, reference: Json) -> None:
    row = json_format.ParseDict(reference["rows"][0], delays_pb2.Flight())
    bodies = [
        {"flights": [json_format.MessageToDict(row, preserving_proto_field_name=preserved)]}
        for preserved in (True, False)
    ]
    assert bodies[0] != bodies[1]
    answers = [rest.post(_URL, json=body).json()["predictions"] for body in bodies]
    assert answers[0] == answers[1]


def test_the_answer_names_what_answered(rest: httpx.Client, reference: Json, traffic: Traffic) -> None:
    answer = rest.post(_URL, json={"flights": reference["rows"][:1]}).json()
    assert answer["modelName"] == traffic.model
    assert answer["semanticVersion"] == traffic.require_champion().semantic_version
    assert answer["releaseDigest"] == traffic.require_champion().digest


def test_the_request_id_comes_back(rest: httpx.Client, reference: Json) -> None:
    headers = {"x-request-id": "a-caller's-own"}
    answer = rest.post(_URL, json={"flights": reference["rows"][:1]}, headers=headers)
    assert answer.json()["requestId"] == "a-caller's-own"
    refusal = rest.post(_URL, json={}, headers=headers)
    assert _problem(refusal, 400)["request_id"] == "a-caller's-own"


def test_a_request_without_an_id_gets_one_of_its_own(rest: httpx.Client, reference: Json) -> None:
    body = {"flights": reference["rows"][:1]}
    ids = {rest.post(_URL, json=body).json()["requestId"] for _ in range(3)}
    assert len(ids) == 3
    assert all(uuid.UUID(request_id) for request_id in ids)


def test_every_violation_is_named(rest: httpx.Client) -> None:
    problem = _problem(rest.post(_URL, json=_bad_body()), 400)
    violations = problem["violations"]
    expected = [named for named in BAD_FIELDS if named[1] != "TIMESTAMP"]
    assert [(violation["field"], violation["rule"]) for violation in violations] == expected
    assert all(violation["description"].startswith(violation["field"]) for violation in violations)


def test_the_first_of_many_violations_are_named_and_the_others_counted(rest: httpx.Client) -> None:
    problem = _problem(rest.post(_URL, json={"flights": [{}] * 1_000}), 400)
    assert (len(problem["violations"]), problem["unlisted_violations"]) == (100, 6_900)


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/v1/models/no_such_model:predict", {}, "no_such_model"),
        (_URL, {"semanticVersion": "9.9.9"}, "9.9.9"),
    ],
)
def test_another_model_or_version_is_not_found(
    rest: httpx.Client, reference: Json, path: str, body: Json, told: str
) -> None:
    problem = _problem(rest.post(path, json={"flights": reference["rows"][:1], **body}), 404)
    assert problem["code"] == "MODEL_NOT_FOUND"
    assert told in problem["detail"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half an object"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(b'{"flights": 1}', id="no rows"),
        pytest.param(b'{"flights": [{"no_such_field": 1}]}', id="unknown field"),
        pytest.param(b'{"flights": [{"distance": "far"}]}', id="no number"),
        pytest.param(b'{"flights": [{"flight_number": 1.5}]}', id="no whole number"),
        pytest.param(b'{"flights": [{"flight_number": 99999999999}]}', id="more than 32 bits"),
        pytest.param(b'{"flights": [{"scheduled_departure": "tomorrow"}]}', id="no moment"),
        pytest.param(b'{"flights": [{"scheduled_departure": "10000-01-01T00:00:00Z"}]}', id="after the year 9999"),
    ],
)
def test_a_body_that_is_no_message_is_refused(rest: httpx.Client, reference: Json, content: bytes) -> None:
    assert _problem(rest.post(_URL, content=content), 400)["code"] == "INVALID_REQUEST"
    assert rest.post(_URL, json={"flights": reference["rows"][:1]}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/models/delays:guess", 404), ("GET", "/no/such/path", 404), ("GET", _URL, 405)],
)
def test_what_is_not_offered_is_refused_in_the_same_form(
    rest: httpx.Client, method: str, path: str, status: int
) -> None:
    _problem(rest.request(method, path), status)


def test_good_requests_beside_bad_ones_are_answered(rest: httpx.Client, reference: Json) -> None:
    bodies = [{"flights": reference["rows"][:5]}, _bad_body(), {"flights": 1}] * 30
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda body: rest.post(_URL, json=body), bodies))
    assert [answer.status_code for answer in answers] == [200, 400, 400] * 30
    assert all(len(answer.json()["predictions"]) == 5 for answer in answers[::3])
