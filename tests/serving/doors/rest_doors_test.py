"""The REST doors: tokens, limits, time-outs, metadata and errors."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pytest
from google.protobuf import json_format
from support.flights import make_columns, make_flight
from support.handlers import open_handler
from support.releases import expected_probability
from support.rest import RestClient
from support.serving import FIRST, SECOND, THIRD, Stage, watch_champion
from support.tensors import to_json

from athanor.release.files import Release
from athanor.serving.answering.core import Core
from athanor.serving.formats.inference_json import JSON_LENGTH
from athanor.serving.formats.problems import media_type_of
from athanor.version import VERSION
from projects.delays.model import MODEL

_PREDICT: Final = "/v1/models/delays:predict"
_FEATURES: Final = "/v1/models/delays:features"
_INFER: Final = "/v2/models/delays/infer"
_FLIGHT: Final[dict[str, Any]] = json_format.MessageToDict(make_flight(distance=1_000))
_BODY: Final = json.dumps({"flights": [_FLIGHT]}).encode()
_TENSORS: Final = json.dumps(to_json(make_columns(3))).encode()
_POSTS: Final = ((_PREDICT, _BODY), (_FEATURES, _BODY), (_INFER, _TENSORS))
_GETS: Final = ("/v2", "/v2/models/delays", "/v2/models/delays/ready", "/metrics", "/openapi.json")
_OPEN: Final = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready")


@pytest.fixture
def client(core: Core, tmp_path: Path) -> Iterator[RestClient]:
    with open_handler(core, tmp_path / "service", max_message_bytes=20_000, max_in_flight=2) as opened:
        yield RestClient(opened)


@pytest.fixture
def guarded(core: Core, tmp_path: Path) -> Iterator[RestClient]:
    with open_handler(core, tmp_path / "service", insecure=False, max_message_bytes=20_000) as opened:
        yield RestClient(opened)


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _is_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, media_type_of(response.url.path))
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"], problem["request_id"]) == (
        status,
        code,
        response.headers["x-request-id"],
    )
    return problem


@pytest.mark.parametrize(("path", "body"), _POSTS)
def test_the_headers_of_every_answer_name_request_and_release(
    client: RestClient, release: Release, path: str, body: bytes
) -> None:
    response = client.post(path, content=body, headers={"x-request-id": "mine"})
    assert response.status_code == 200, response.text
    assert {name: response.headers[f"x-{name}"] for name in ("request-id", "athanor-version", "athanor-variant")} == {
        "request-id": "mine",
        "athanor-version": "1.2.3",
        "athanor-variant": "champion",
    }
    assert response.headers["x-athanor-digest"] == release.digest


@pytest.mark.parametrize("path", [_INFER, "/v2/models/delays/versions/1.2.3/infer"])
def test_tensors_are_answered(client: RestClient, path: str) -> None:
    columns = make_columns(3)
    answer = client.post(path, content=_TENSORS).json()
    expected = [expected_probability(distance) for distance in columns["distance"].tolist()]
    assert answer["outputs"][0]["data"] == pytest.approx(expected, abs=1e-6)
    assert answer["model_version"] == "1.2.3"


def test_tensors_are_answered_in_bytes_on_request(client: RestClient) -> None:
    body = json.dumps({**to_json(make_columns(3)), "parameters": {"binary_data_output": True}}).encode()
    response = client.post(_INFER, content=body, headers={JSON_LENGTH: str(len(body))})
    length = int(response.headers[JSON_LENGTH])
    assert response.headers["content-type"] == "application/octet-stream"
    assert json.loads(response.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 24}
    expected = [expected_probability(distance) for distance in make_columns(3)["distance"].tolist()]
    assert np.frombuffer(response.content[length:], "<f8").tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "path", ["/v2/models/weather/infer", "/v2/models/delays/versions/9.9.9/infer", "/v2/models/%FF%00/infer"]
)
def test_tensors_for_another_model_or_version_are_refused(client: RestClient, path: str) -> None:
    _is_problem(client.post(path, content=_TENSORS), 404, "MODEL_NOT_FOUND")


@pytest.mark.parametrize(("path", "body"), _POSTS)
def test_a_sticky_key_chooses_the_variant(stage: Stage, tmp_path: Path, path: str, body: bytes) -> None:
    stage.direct(FIRST, SECOND, 0.5, THIRD)
    with open_handler(stage.core(), tmp_path / "service") as opened:
        client = RestClient(opened)
        found = {
            key: {
                client.post(path, content=body, headers={"x-athanor-sticky-key": key}).headers["x-athanor-variant"]
                for _ in range(2)
            }
            for key in map(str, range(12))
        }
    assert all(len(variants) == 1 for variants in found.values())
    assert set.union(*found.values()) == {"champion", "challenger"}


def test_metadata_describes_the_server_and_the_model(client: RestClient) -> None:
    extensions = ["binary_tensor_data", "model_repository"]
    assert client.get("/v2").json() == {"name": "athanor", "version": VERSION, "extensions": extensions}
    for path in ("/v2/models/delays", "/v2/models/delays/versions/1.2.3"):
        metadata = client.get(path).json()
        assert (metadata["name"], metadata["versions"]) == ("delays", ["1.2.3"])
        assert [tensor["name"] for tensor in metadata["inputs"]] == [column.name for column in MODEL.contract.columns]
        assert client.get(f"{path}/ready").json() == {"name": "delays", "ready": True}
    for path in ("/v2/models/weather", "/v2/models/delays/versions/9.9.9"):
        _is_problem(client.get(path), 404, "MODEL_NOT_FOUND")
        _is_problem(client.get(f"{path}/ready"), 404, "MODEL_NOT_FOUND")


def test_openapi_the_page_and_the_metrics_are_answered(client: RestClient) -> None:
    assert client.post(_PREDICT, content=_BODY).status_code == 200
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1")
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'door="rest"' in metrics.text


@pytest.mark.parametrize("path", [*_GETS, *_OPEN, "/docs"])
def test_a_head_is_answered_as_a_get(client: RestClient, path: str) -> None:
    head = client.request("HEAD", path)
    assert head.status_code == 200
    assert head.headers["content-type"] == client.get(path).headers["content-type"]


@pytest.mark.parametrize("path", [*_GETS, *(path for path, _ in _POSTS)])
@pytest.mark.parametrize("sent", [{}, {"authorization": "Bearer athn_x"}, {"authorization": "Basic eDp5"}])
def test_a_request_without_a_valid_token_is_refused(guarded: RestClient, path: str, sent: dict[str, str]) -> None:
    method = "GET" if path in _GETS else "POST"
    response = guarded.request(method, path, headers=sent)
    _is_problem(response, 401, "UNAUTHENTICATED")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", _OPEN)
def test_health_needs_no_token_and_says_nothing_else(guarded: RestClient, path: str) -> None:
    assert guarded.get(path).json() == {"status": "ok"}


def test_a_request_without_a_token_is_not_read(guarded: RestClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(1):
            raise AssertionError("the body was read")
        yield b""

    assert guarded.post(_PREDICT, content=body()).status_code == 401


@pytest.mark.parametrize("path", [path for path, _ in _POSTS])
def test_a_body_that_is_too_large_is_refused_before_the_rest_is_read(client: RestClient, path: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield bytes(15_000)
        yield bytes(15_000)
        raise AssertionError("the rest of the body was read")

    problem = _is_problem(client.post(path, content=body()), 413, "TOO_LARGE")
    assert problem["detail"] == "the request has more than 20000 bytes, the most that a request may have"
    padded = _BODY + b" " * (20_000 - len(_BODY))
    assert client.post(_PREDICT, content=padded).status_code == 200


@pytest.mark.parametrize("given", ["", "x", "0", "-1", "nan", "inf", "1e999", "1 s"])
def test_an_invalid_timeout_is_refused(client: RestClient, given: str) -> None:
    response = client.post(_PREDICT, content=_BODY, headers={"x-request-timeout-s": given})
    assert _is_problem(response, 400, "INVALID_REQUEST")["detail"].startswith("x-request-timeout-s is ")


def test_a_request_is_refused_after_its_timeout(client: RestClient) -> None:
    response = client.post(_PREDICT, content=_BODY, headers={"x-request-timeout-s": "1e-9"})
    _is_problem(response, 504, "DEADLINE_EXCEEDED")
    assert client.post(_PREDICT, content=_BODY, headers={"x-request-timeout-s": "10"}).status_code == 200


@pytest.mark.parametrize("given", ["", "a b", "a\tb", "x" * 129, "a\x7f", "\xe9"])
@pytest.mark.parametrize("path", [_PREDICT, "/nowhere", "/v2/models/weather"])
def test_a_request_id_that_cannot_go_into_a_header_is_replaced(client: RestClient, path: str, given: str) -> None:
    headers = [(b"x-request-id", given.encode("latin-1"))]
    method = "GET" if path == "/v2/models/weather" else "POST"
    made = client.request(method, path, content=_BODY, headers=headers).headers["x-request-id"]
    assert len(made) == 32
    assert made.isalnum()


def test_a_request_id_that_would_end_a_line_never_comes_back(core: Core, tmp_path: Path) -> None:
    """No client sends one; a proxy that rewrites headers may."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": _BODY}

    with open_handler(core, tmp_path / "service") as opened:
        scope = {
            "type": "http",
            "method": "POST",
            "path": _PREDICT,
            "query_string": b"",
            "headers": [(b"x-request-id", b"a\r\nset-cookie: b")],
        }
        asyncio.run(RestClient(opened).app(scope, receive, send))
    assert sent[0]["status"] == 200
    assert not any(b"cookie" in value for _, value in sent[0]["headers"])


def test_a_refusal_names_the_request_as_the_log_does(client: RestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        response = client.post(_PREDICT, content=b'{"flights": []}')
    problem = _is_problem(response, 400, "INVALID_REQUEST")
    assert any(problem["request_id"] in str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize(("path", "body"), _POSTS)
@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), KeyError("secret"), MemoryError("secret")])
def test_an_unexpected_error_is_a_problem_without_its_text(
    core: Core, tmp_path: Path, path: str, body: bytes, error: Exception
) -> None:
    def fail(rows: int) -> None:
        raise error

    watch_champion(core, fail)
    with open_handler(core, tmp_path / "service") as opened:
        response = RestClient(opened).post(path, content=body)
    problem = _is_problem(response, 500, "SERVICE_FAILED")
    assert "secret" not in response.text
    assert problem["request_id"] in problem["detail"]


def test_an_unexpected_error_outside_predict_is_a_problem_too(
    client: RestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(client.opened.handler.telemetry, "render_metrics", fail)
    response = client.get("/metrics")
    _is_problem(response, 500, "SERVICE_FAILED")
    assert "secret" not in response.text


def test_a_refusal_for_overload_says_when_to_retry(client: RestClient) -> None:
    async def ask_at_once() -> list[httpx.Response]:
        return list(await asyncio.gather(*(client.ask("POST", _PREDICT, content=_BODY) for _ in range(4))))

    found = asyncio.run(ask_at_once())
    refused = [response for response in found if response.status_code != 200]
    assert len(refused) == 2
    for response in refused:
        _is_problem(response, 429, "OVERLOADED")
        assert int(response.headers["retry-after"]) >= 1
    assert client.post(_PREDICT, content=_BODY).status_code == 200


def test_each_kind_of_refusal_is_counted(client: RestClient) -> None:
    count: Callable[[], int] = lambda: client.opened.metrics().count("athanor_")  # noqa: E731
    before = count()
    client.post(_PREDICT, content=json.dumps({"flights": [{**_FLIGHT, "distance": -1}]}))
    assert count() > before
    assert "MINIMUM" in client.opened.metrics()
