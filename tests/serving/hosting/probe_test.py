"""Whether a service answers, by what stands at its doors."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc
import pytest

from athanor.serving.hosting.probe import find_fault
from athanor.serving.setup.paths import ServiceState
from grpc_health.v1 import health_pb2

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@contextmanager
def _rest(status: int) -> Iterator[int]:
    """The port of a REST door that says whether it is ready."""

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def _grpc(status: Any) -> Iterator[int]:
    """The port of a gRPC door that says whether it is ready."""

    def check(request: bytes, context: Any) -> bytes:
        return health_pb2.HealthCheckResponse(status=status).SerializeToString()

    server = grpc.server(ThreadPoolExecutor(1))
    handlers: Any = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


def _state(http_port: int, grpc_port: int, host: str = "127.0.0.1") -> ServiceState:
    return ServiceState("delays", ("delays",), 1, grpc=f"{host}:{grpc_port}", http=f"{host}:{http_port}", insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])  # noqa: S104 - nothing binds to it
def test_a_service_without_a_fault_answers_at_both_doors(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    with _rest(200) as http_port, _grpc(_SERVING) as grpc_port:
        assert find_fault(_state(http_port, grpc_port, host)) is None


@pytest.mark.parametrize(
    ("rest", "grpc_status", "fault"),
    [(503, _SERVING, "REST answers 503"), (200, _NOT_SERVING, "gRPC answers NOT_SERVING")],
)
def test_a_door_that_is_not_ready_is_named(rest: int, grpc_status: Any, fault: str) -> None:
    with _rest(rest) as http_port, _grpc(grpc_status) as grpc_port:
        assert (find_fault(_state(http_port, grpc_port)) or "").startswith(fault)


def test_a_door_that_nothing_stands_behind_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    with _rest(200) as http_port:
        assert "gRPC does not answer" in (find_fault(_state(http_port, closed)) or "")
    assert "REST does not answer" in (find_fault(_state(closed, closed)) or "")


def test_a_door_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("athanor.serving.hosting.probe._TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, _rest(200) as http_port:
        port = silent.getsockname()[1]
        assert "REST does not answer" in (find_fault(_state(port, port)) or "")
        assert "gRPC does not answer" in (find_fault(_state(http_port, port)) or "")
