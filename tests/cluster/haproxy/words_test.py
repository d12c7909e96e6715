"""What callers may send in a head, and what HAProxy says where they may not: the real one, in front of real servers."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from cluster.haproxy.haproxies import Replicas, ask, call, problem, running_haproxy, send
from cluster.haproxy.rendering import render

from athanor.cluster.haproxy.rules import DoorLimits
from athanor.cluster.haproxy.serve_haproxy import Doors

_PREDICT: Final = "/delays.v1.DelaysService/Predict"
# A test that reads to the end of a connection waits until it is idle.
_LIMITS: Final = DoorLimits(idle_s=1.0, grpc_idle_s=1.0)


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    with tempfile.TemporaryDirectory(dir="/tmp") as kept, Replicas() as replicas:
        folder = Path(kept)
        with running_haproxy(folder, "words", render(folder, replicas.ports)["app"], _LIMITS) as running:
            yield running


@pytest.mark.parametrize("length", [9_000, 15_000, 16_384, 33_000, 60_000])
def test_a_large_head_is_refused_in_words(doors: Doors, length: int) -> None:
    status, answer = ask(doors, "/app", b"x-a: " + b"x" * length)
    assert (status, problem(answer)["code"]) == (431, "TOO_LARGE")
    status, answer = ask(doors, "/app", *(b"x-%d: %s" % (i, b"x" * 50) for i in range(length // 60)))
    assert (status, problem(answer)["code"]) == (431, "TOO_LARGE")
    status, answer = ask(doors, "/" + "x" * length)
    assert (status, problem(answer)["code"]) == (431, "TOO_LARGE")
    code, message = call(doors, _PREDICT, ("x-a", "x" * length))
    assert (code, "more than 8192 bytes" in message) == ("RESOURCE_EXHAUSTED", True)


def test_a_head_of_some_kilobytes_is_read(doors: Doors) -> None:
    assert ask(doors, "/app", b"x-a: " + b"x" * 7_000)[0] == 200
    assert call(doors, _PREDICT, ("x-a", "x" * 7_000))[0] == "OK"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /app HTTP/1.1\r\nHost: x\r\nx-a: " + b"x" * 200_000 + b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /app HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"GET /app HTTP/1.1\r\nHost: x\r\nx\xff: 1\r\n\r\n",
        b"GET /app HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_bytes_that_are_no_request_get_no_page_of_haproxy(doors: Doors, sent: bytes) -> None:
    assert b"<html" not in send(doors, sent)


@pytest.mark.parametrize("line", [b"CONNECT x:1", b"OPTIONS *", b"GET *"])
def test_a_request_without_a_path_is_not_found(doors: Doors, line: bytes) -> None:
    answer = send(doors, line + b" HTTP/1.1\r\nHost: x:1\r\nConnection: close\r\n\r\n")
    assert problem(answer.decode())["status"] == 404


@pytest.mark.parametrize("given", [b"\xff\xfe", b"a b", b"", b"x" * 129, "ü".encode(), b"\x01"])
def test_an_id_that_serve_cannot_read_does_not_reach_it(doors: Doors, given: bytes) -> None:
    status, answer = ask(doors, "/app", b"X-Request-ID: " + given)
    assert (status, "x-request-id" in answer.partition("\r\n\r\n")[2]) == (200, False)


def test_of_two_ids_the_first_is_the_requests(doors: Doors) -> None:
    _, answer = ask(doors, "/app", b"x-request-id: mine", b"x-request-id: \xff")
    assert json.loads(answer.partition("\r\n\r\n")[2])["headers"]["x-request-id"] == "mine"


@pytest.mark.parametrize(
    "name",
    [
        *("Serve_Multiplexed_Model_Id", "serve-multiplexed-model-id", "serve_multiplexed-model_id"),
        *("X-Session-ID", "x_session_id", "x-request-timeout-seconds", "x-request-disconnect-disabled", "upgrade"),
    ],
)
def test_headers_that_serve_would_obey_do_not_reach_it(doors: Doors, name: str) -> None:
    status, answer = ask(doors, "/app", name.encode() + b": \xff", b"x-kept: 1")
    headers = json.loads(answer.partition("\r\n\r\n")[2])["headers"]
    assert (status, name.lower() in headers, headers["x-kept"]) == (200, False, "1")


def test_metadata_that_are_not_text_are_refused_in_words(doors: Doors) -> None:
    answer = send_grpc_head(doors, b"x-a", b"\xff\xfe")
    assert b"metadata must be printable ASCII" in answer


def send_grpc_head(doors: Doors, name: bytes, value: bytes) -> bytes:
    """The answer to a call with metadata that no gRPC client sends: frames of HTTP/2 by hand."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    pairs = (
        *((b":method", b"POST"), (b":scheme", b"http"), (b":path", _PREDICT.encode()), (b":authority", b"x")),
        *((b"te", b"trailers"), (b"content-type", b"application/grpc"), (name, value)),
    )
    # Literal, and in no table.
    head = b"".join(b"\0" + bytes([len(key)]) + key + bytes([len(text)]) + text for key, text in pairs)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
    return send(doors._replace(http_port=doors.grpc_port), preface + frame(1, 5, 1, head))


def test_refusals_of_serve_are_reworded(doors: Doors) -> None:
    status, answer = ask(doors, "/app/plain")
    assert (status, problem(answer)["code"]) == (503, "UNAVAILABLE")
    assert "backpressure" not in answer


@pytest.mark.parametrize("path", ["/app", "/app/plain", "/-/routes", "/-/healthz"])
def test_every_answer_has_headers_against_sniffing_and_caching(doors: Doors, path: str) -> None:
    head = ask(doors, path)[1].partition("\r\n\r\n")[0].lower()
    assert "\r\nx-content-type-options: nosniff" in head
    assert "\r\ncache-control: no-store" in head
    assert "\r\nserver:" not in head
