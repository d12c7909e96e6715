"""Health, readiness and reflection, as load balancers, orchestrators and generic clients ask for them."""

import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from integration.burst import Burst
from integration.service import PROJECT, Service, running_service
from prepared.place import copy_prepared
from support.commands import run
from support.processes import find_session, nothing_survives, wait_until
from support.sockets import find_network_sockets
from support.traps import find_sprung

from delays.v1 import delays_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

_SERVICE = "delays.v1.DelaysService"
_REFLECTION_VERSIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_TIMEOUT_S = 60.0
_RAY = re.compile(r"--temp_dir=(\S+)")
_SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_rest_reports_that_it_lives_and_is_ready(rest: httpx.Client, path: str) -> None:
    response = rest.get(path)
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def _check(channel: grpc.Channel, name: str) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(channel)  # the type stubs lack its methods
    return stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=_TIMEOUT_S)


@pytest.mark.parametrize("name", ["", _SERVICE])
def test_grpc_reports_that_it_serves(channel: grpc.Channel, name: str) -> None:
    assert _check(channel, name).status == health_pb2.HealthCheckResponse.SERVING


def test_grpc_does_not_find_an_unknown_service(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _check(channel, "no.such.Service")
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND


class _Watch:
    """Follows the health that one replica reports, until the stream ends."""

    def __init__(self, pid: int) -> None:
        """Asks the replica itself, for HAProxy may send all streams to one replica.

        Ray's own server in its process reports health too, but knows no service of ours.
        """
        for socket in find_network_sockets([pid]):
            channel = grpc.insecure_channel(f"127.0.0.1:{socket.port}")
            stub: Any = health_pb2_grpc.HealthStub(channel)
            with suppress(grpc.RpcError):
                stub.Check(health_pb2.HealthCheckRequest(service=_SERVICE), timeout=_TIMEOUT_S)
                break
            channel.close()
        else:
            raise AssertionError(f"replica {pid} reports its health at no port")
        self._channel = channel
        self._stream = stub.Watch(health_pb2.HealthCheckRequest())
        self.statuses = [next(self._stream).status]
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        with suppress(grpc.RpcError):
            self.statuses.extend(response.status for response in self._stream)

    def close(self) -> None:
        self._stream.cancel()
        self._thread.join()
        self._channel.close()


def test_a_replica_reports_that_it_drains_and_answers_what_it_has_before_it_stops(
    tmp_path: Path, flights: list[delays_pb2.Flight]
) -> None:
    # As patient as a busy machine is slow.
    flags = ("--replicas", 2, "--grace-period-s", 100)
    with nothing_survives(), running_service(copy_prepared(tmp_path / "home"), *flags) as service:
        watches = [_Watch(replica.pid) for replica in service.replicas]
        with Burst(service, flights) as burst:
            burst.wait_for_first()
            scaled = run("serving", "scale", PROJECT, 1, "--home", service.home.path)
        for watch in watches:
            watch.close()
        with grpc.insecure_channel(service.grpc) as channel:
            assert _check(channel, "").status == _SERVING
        assert httpx.get(f"http://{service.http}/readyz", trust_env=False).status_code == 200
    assert scaled.returncode == 0, scaled.stderr
    assert not burst.cut, burst.cut
    drained, kept = [_SERVING, health_pb2.HealthCheckResponse.NOT_SERVING], [_SERVING]
    assert sorted(watch.statuses for watch in watches) == [kept, drained]


def _reflect(channel: grpc.Channel, version: str, **asked: Any) -> reflection_pb2.ServerReflectionResponse:
    """One request and its response. Only the package differs between the messages of v1 and v1alpha."""
    ask: Any = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (answer,) = ask(iter([reflection_pb2.ServerReflectionRequest(**asked)]), timeout=_TIMEOUT_S)
    assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
    return answer


@pytest.mark.parametrize("version", _REFLECTION_VERSIONS)
def test_reflection_lists_every_service(channel: grpc.Channel, version: str) -> None:
    answer = _reflect(channel, version, list_services="")
    names = {service.name for service in answer.list_services_response.service}
    assert {_SERVICE, "grpc.health.v1.Health", *_REFLECTION_VERSIONS} <= names


@pytest.mark.parametrize("version", _REFLECTION_VERSIONS)
@pytest.mark.parametrize("symbol", [_SERVICE, "delays.v1.PredictRequest", "delays.v1.Flight.origin"])
def test_reflection_gives_all_files_that_a_client_needs(channel: grpc.Channel, version: str, symbol: str) -> None:
    """A client without stubs can build the messages from them."""
    answer = _reflect(channel, version, file_containing_symbol=symbol)
    pool = DescriptorPool()
    wanted = [FileDescriptorProto.FromString(c) for c in answer.file_descriptor_response.file_descriptor_proto]
    files = {file.name: file for file in wanted}
    while absent := {name for file in files.values() for name in file.dependency} - files.keys():
        for name in absent:
            found = _reflect(channel, version, file_by_filename=name).file_descriptor_response
            files |= {f.name: f for f in map(FileDescriptorProto.FromString, found.file_descriptor_proto)}
    _add(pool, files, next(iter(files)))
    request = pool.FindMessageTypeByName("delays.v1.PredictRequest")
    assert [field.name for field in request.fields] == ["flights", "model_name", "semantic_version"]
    assert pool.FindMethodByName(f"{_SERVICE}.Predict").input_type is request


def _add(pool: DescriptorPool, files: dict[str, FileDescriptorProto], name: str) -> None:
    for dependency in files[name].dependency:
        _add(pool, files, dependency)
    pool.Add(files[name])


@pytest.mark.parametrize("version", _REFLECTION_VERSIONS)
def test_reflection_does_not_find_an_unknown_symbol(channel: grpc.Channel, version: str) -> None:
    answer = _reflect(channel, version, file_containing_symbol="no.such.Symbol")
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_no_process_imports_what_is_in_the_folder_it_was_started_in(service: Service, traps: Path) -> None:
    started = find_session(service.pid)
    assert {Path(f"/proc/{process.pid}/cwd").readlink() for process in started} == {traps}
    assert any("ServeReplica" in process.command for process in started)
    assert find_sprung(traps) == []


def test_no_agent_of_rays_fills_the_disk_with_tracebacks(service: Service) -> None:
    (raylet,) = [found for process in service.find_processes("raylet") if (found := _RAY.search(process.command))]
    log = Path(raylet[1]) / "session_latest" / "logs" / "dashboard_agent.log"
    # It then looks for a dashboard.
    assert wait_until(lambda: "Loaded" in log.read_text(), _TIMEOUT_S), log.read_text()
    # Beside another service it finds its port taken, once, and goes on without a server.
    tracebacks = log.read_text().split("Traceback")[1:]
    assert [text for text in tracebacks if "http_server_agent.py" not in text] == []
