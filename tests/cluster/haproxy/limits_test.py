"""Bounds of the doors on connections and time: real HAProxy, in front of replicas that may hang."""

import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from cluster.haproxy.haproxies import TIMEOUT_S, Replicas, ask, call, eventually, hold, problem, running_haproxy, send
from cluster.haproxy.rendering import render
from support.processes import wait_until

from athanor.cluster.haproxy.counts import DoorCounts, read_door_counts
from athanor.cluster.haproxy.rules import DoorLimits
from athanor.cluster.haproxy.serve_haproxy import Doors

_PREDICT: Final = "/delays.v1.DelaysService/Predict"
_HEALTH: Final = "/grpc.health.v1.Health/Check"
# Long enough for a busy machine, short enough to wait for.
_QUICK: Final = DoorLimits(answer_s=0.5, grace_s=0.5, head_s=1.0, stall_s=1.0, idle_s=1.0, grpc_idle_s=1.0, check_s=0.3)
_FEW: Final = DoorLimits(connections=64, connections_per_address=8)
# A replica that hangs is found after about two seconds, long before the answer is due.
_PATIENT: Final = DoorLimits(check_s=0.3)
_LIMITS: Final = {"quick": _QUICK, "few": _FEW, "patient": _PATIENT}


@pytest.fixture(scope="module")
def replicas() -> Iterator[Replicas]:
    with Replicas() as running:
        yield running


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as kept:
        yield Path(kept)


@pytest.fixture(scope="module")
def doors(replicas: Replicas, folder: Path) -> Iterator[Mapping[str, Doors]]:
    """The doors of one HAProxy for each kind of limits."""
    with ExitStack() as stack:
        configuration = render(folder, replicas.ports)["app"]
        yield {
            name: stack.enter_context(running_haproxy(folder, name, configuration, limits))
            for name, limits in _LIMITS.items()
        }


@pytest.fixture(autouse=True)
def _running(replicas: Replicas) -> Iterator[None]:
    """Every replica answers, before and after."""
    yield
    for event in (*replicas.running, replicas.ready):
        event.set()
    replicas.health[:] = [200, 200]


def test_health_is_answered_while_an_address_holds_all_its_connections(doors: Mapping[str, Doors]) -> None:
    few = doors["few"]
    with ExitStack() as stack:
        for port in (few.http_port, few.grpc_port):
            hold(stack, port, 40)
        assert eventually(lambda: ask(few, "/livez")[0], 200)
        assert eventually(lambda: ask(few, "/readyz")[0], 200)
        assert eventually(lambda: call(few, _HEALTH)[0], "OK")
        assert eventually(lambda: ask(few, "/app")[0], 429)
        assert eventually(lambda: call(few, _PREDICT)[0], "RESOURCE_EXHAUSTED")
        # Another address has its own.
        with socket.create_connection(("127.0.0.1", few.http_port), TIMEOUT_S, ("127.0.0.2", 0)) as other:
            other.sendall(b"GET /app HTTP/1.1\r\nHost: x\r\n\r\n")
            assert other.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert eventually(lambda: ask(few, "/app")[0], 200)


def test_an_address_with_too_many_connections_is_refused_in_words(doors: Mapping[str, Doors]) -> None:
    few = doors["few"]
    with ExitStack() as stack:
        hold(stack, few.http_port, 9)
        hold(stack, few.grpc_port, 9)
        answers: list[str] = []
        # HAProxy closes the connection, though the caller would keep it.
        request = b"GET /app HTTP/1.1\r\nHost: x\r\n\r\n"
        assert eventually(lambda: answers.insert(0, send(few, request).decode()), None)
        found = problem(answers[0])
        assert found["status"] == 429
        assert (found["code"], "too many connections from this address" in found["detail"]) == ("OVERLOADED", True)
        assert "retry-after: 1" in answers[0]
        code, message = call(few, _PREDICT)
        assert (code, "too many connections" in message) == ("RESOURCE_EXHAUSTED", True)


def test_all_addresses_together_leave_room_for_health(doors: Mapping[str, Doors]) -> None:
    few = doors["few"]
    with ExitStack() as stack:
        for last in range(2, 12):
            hold(stack, few.http_port, 8, f"127.0.0.{last}")
        assert eventually(lambda: ask(few, "/livez")[0], 200)
        assert eventually(lambda: ask(few, "/app")[0], 429)
    assert eventually(lambda: ask(few, "/app")[0], 200)


@pytest.mark.parametrize("port", [0, 1])
@pytest.mark.parametrize("sent", [b"", b"GET /app HTTP/1.1\r\nHost: x\r\n", b"P"])
def test_a_connection_without_a_whole_head_ends(doors: Mapping[str, Doors], port: int, sent: bytes) -> None:
    quick = doors["quick"]
    with socket.create_connection(("127.0.0.1", (quick.http_port, quick.grpc_port)[port]), TIMEOUT_S) as slow:
        slow.sendall(sent)
        answer = b"".join(iter(lambda: slow.recv(4096), b""))
    assert b"<html" not in answer


def test_a_head_that_drips_ends_as_soon(doors: Mapping[str, Doors]) -> None:
    with socket.create_connection(("127.0.0.1", doors["quick"].http_port), TIMEOUT_S) as slow:
        slow.settimeout(0.1)
        began, answer = time.monotonic(), b"?"
        while answer == b"?":
            try:
                slow.sendall(b"x-a: b\r\n" if time.monotonic() > began + 0.1 else b"GET /app HTTP/1.1\r\n")
                answer = slow.recv(4096)
            except TimeoutError:
                assert time.monotonic() < began + TIMEOUT_S
            except OSError:
                break


def test_an_idle_connection_ends_and_grpc_connects_anew(doors: Mapping[str, Doors]) -> None:
    quick = doors["quick"]
    # Without `Connection: close`: the answer, and then the end.
    assert send(quick, b"GET /app HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    states: list[Any] = []
    with grpc.insecure_channel(f"127.0.0.1:{quick.grpc_port}") as channel:
        ask_once: Any = channel.unary_unary(_PREDICT, None, None)
        channel.subscribe(states.append)
        ask_once(b"", timeout=TIMEOUT_S)
        seen = len(states)
        assert wait_until(lambda: grpc.ChannelConnectivity.IDLE in states[seen:], TIMEOUT_S)
        assert ask_once(b"", timeout=TIMEOUT_S) in (b"0", b"1")


def test_a_body_that_stalls_is_refused_in_words(doors: Mapping[str, Doors]) -> None:
    answer = send(doors["quick"], b"POST /app HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
    found = problem(answer.decode())
    assert (found["code"], "broke off" in found["detail"]) == ("INVALID_REQUEST", True)


def test_an_answer_that_is_not_read_is_cut(doors: Mapping[str, Doors], replicas: Replicas) -> None:
    with socket.create_connection(("127.0.0.1", doors["quick"].http_port), TIMEOUT_S) as unread:
        unread.sendall(b"GET /app/endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert replicas.cut.wait(TIMEOUT_S)


def test_a_stream_of_health_outlives_every_bound(doors: Mapping[str, Doors]) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{doors['quick'].grpc_port}") as channel:
        ask_once: Any = channel.unary_stream("/grpc.health.v1.Health/Watch", None, None)
        watch = ask_once(b"")
        assert next(iter(watch)) == b"first"
        # Thrice as long as any of them.
        assert not wait_until(lambda: not watch.is_active(), 3.0)
        watch.cancel()


def test_a_late_answer_is_a_missed_deadline(doors: Mapping[str, Doors], replicas: Replicas) -> None:
    replicas.ready.clear()
    status, answer = ask(doors["quick"], "/app/slow")
    assert (status, problem(answer)["code"]) == (504, "DEADLINE_EXCEEDED")
    assert call(doors["quick"], _PREDICT, content=b"/slow")[0] == "DEADLINE_EXCEEDED"


def test_the_caller_may_wait_for_less_time(doors: Mapping[str, Doors], replicas: Replicas) -> None:
    replicas.ready.clear()
    began = time.monotonic()
    assert ask(doors["patient"], "/app/slow", b"x-request-timeout-s: 0.5")[0] == 504
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("timeout", [b"1e400", b"-1", b"x", b"", b"\xff", b"9" * 400, b"100000"])
def test_no_time_out_of_a_caller_ends_a_good_request(doors: Mapping[str, Doors], timeout: bytes) -> None:
    assert ask(doors["patient"], "/app", b"x-request-timeout-s: " + timeout)[0] == 200


def test_another_replica_answers_the_requests_of_a_hung_one(doors: Mapping[str, Doors], replicas: Replicas) -> None:
    patient = doors["patient"]
    replicas.running[0].clear()
    began = time.monotonic()
    with ThreadPoolExecutor(16) as threads:
        by_rest = [threads.submit(ask, patient, "/app") for _ in range(8)]
        by_grpc = [threads.submit(call, patient, _PREDICT) for _ in range(8)]
        answers = [asked.result() for asked in by_rest]
        calls = [asked.result() for asked in by_grpc]
    assert {status for status, _ in answers} == {200}
    assert all('"replica": 1' in answer for _, answer in answers)
    assert set(calls) == {("OK", "1")}
    assert time.monotonic() - began < _PATIENT.answer_s


def test_a_draining_replica_answers_its_requests(doors: Mapping[str, Doors], replicas: Replicas) -> None:
    replicas.ready.clear()
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(ask, doors["patient"], "/app/slow") for _ in range(4)]
        replicas.health[:] = [503, 503]
        checks = replicas.checks
        # Three of each HAProxy for each replica.
        assert wait_until(lambda: replicas.checks > checks + 18, TIMEOUT_S)
        replicas.ready.set()
        assert {each.result()[0] for each in asked} == {200}


def test_refusals_are_counted(doors: Mapping[str, Doors], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = doors["few"]
    monkeypatch.setenv("RAY_SERVE_HAPROXY_SOCKET_PATH", str(folder / "few" / "admin.sock"))
    before = read_door_counts()
    with ExitStack() as stack:
        hold(stack, few.http_port, 40)
        assert eventually(lambda: ask(few, "/app")[0], 429)
        assert read_door_counts().connections["rest"] >= 8
    assert eventually(lambda: ask(few, "/app", b"x-a: " + b"x" * 9_000)[0], 431)
    send(few, b"nonsense\r\n\r\n")
    call(few, _PREDICT, ("x-a", "x" * 9_000))
    grown = {key for key, count in read_door_counts().refused.items() if count > before.refused[key]}
    assert grown >= {("rest", "connections"), ("rest", "request"), ("rest", "malformed"), ("grpc", "request")}


@pytest.mark.parametrize("path", [None, "", "/no/such/socket"])
def test_without_haproxy_nothing_is_counted(monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    monkeypatch.delenv("RAY_SERVE_HAPROXY_SOCKET_PATH", raising=False)
    if path is not None:
        monkeypatch.setenv("RAY_SERVE_HAPROXY_SOCKET_PATH", path)
    assert read_door_counts() == DoorCounts()


def test_a_caller_that_was_refused_cannot_go_on_sending(doors: Mapping[str, Doors]) -> None:
    with socket.create_connection(("127.0.0.1", doors["patient"].http_port), TIMEOUT_S) as slow:
        slow.sendall(b"POST /app/early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        slow.settimeout(0.1)
        answer = b""

        def has_ended() -> bool:
            nonlocal answer
            try:
                slow.sendall(b"x")
                found = slow.recv(4096)
            except TimeoutError:
                return False
            except OSError:
                return True
            answer += found
            return not found

        assert wait_until(has_ended, TIMEOUT_S)
    assert answer.startswith(b"HTTP/1.1 401 ")
