"""A service from `up` to `down`, and all that keeps it from coming up."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
import pytest
from integration.burst import Burst, Newcomers
from integration.service import PROJECT, Service, running_service
from prepared.place import PREPARED, copy_prepared
from support.commands import run
from support.processes import Process, find_session, kill, list_processes, nothing_survives, wait_until

from athanor.cluster.addresses import is_local
from athanor.cluster.scratch import scratch_folder
from athanor.home import Home
from athanor.release.files import GRAPH, MANIFEST, MODEL_CARD
from athanor.release.store import ReleaseStore
from athanor.serving.hosting.probe import find_fault
from athanor.serving.setup.ports import find_free_ports, is_free
from delays.v1 import delays_pb2, delays_pb2_grpc

_REFUSED: Final = 2
_CLOSED_AFTER_S: Final = 30.0
_READY_S: Final = 60.0
# Where there is IPv6, the doors of one service have its address.
_HOST: Final = "::1" if is_local("::1") else "127.0.0.1"
# Bounds for a busy machine; docs/access.md has what was measured.
_ENDED_AFTER_S: Final = 30.0
_REPLACED_AFTER_S: Final = 120.0
_ANSWERED_WITHIN_S: Final = 10.0
_REFUSED_WITHIN_S: Final = 5.0


@pytest.fixture(autouse=True)
def _nothing_survives() -> Iterator[None]:
    with nothing_survives():
        yield


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return copy_prepared(tmp_path / "home")


def _up(home: Home, *flags: object, project: str = PROJECT) -> tuple[int, str]:
    """Exit status and standard error of an `up` on ports that are free, unless the flags name some."""
    first = find_free_ports(2)
    ports = () if "--http-port" in flags else ("--http-port", first, "--grpc-port", first + 1)
    done = run("serving", "up", project, "--home", home.path, *ports, *flags)
    return done.returncode, done.stderr


def _status(home: Home) -> int:
    return run("serving", "status", PROJECT, "--home", home.path).returncode


def _scratch_folders(processes: set[Process]) -> set[Path]:
    """The folders below /tmp that the commands of Ray and HAProxy name."""
    return {Path(found) for process in processes for found in re.findall(r"/tmp/ath-\w+", process.command)}  # noqa: S108


def test_one_service_from_up_to_down(home: Home, tmp_path: Path, flights: list[delays_pb2.Flight]) -> None:
    # As patient as a busy machine is slow.
    with running_service(home, "--host", _HOST, "--grace-period-s", 100) as service:
        _its_status_is_shown(service)
        _its_log_is_shown(service)
        _it_scales(service)
        _a_second_one_is_refused(service, tmp_path)
        _without_a_release_it_says_so_and_comes_back_with_it(service)
        _what_serve_has_started_is_replaced(service)
        started = find_session(service.pid)
        folders = _scratch_folders(started)
        assert {process.pid for process in started} > {service.pid}
        assert folders
        assert all(folder.is_dir() for folder in folders)
        with Burst(service, flights) as burst, Newcomers(service) as newcomers:
            burst.wait_for_first()
            os.kill(service.pid, signal.SIGTERM)
            in_flight = burst.in_flight
            down = run("serving", "down", PROJECT, "--home", home.path)
        # Right now: `down` has said so by returning.
        left = (started & set(list_processes())) | find_session(service.pid)
    assert down.returncode == 0, down.stderr
    assert in_flight, "every request had been answered before the service was stopped"
    assert not burst.cut, burst.cut
    assert newcomers.seen <= {200, 503, "refused"}
    assert newcomers.longest_s < _ANSWERED_WITHIN_S
    assert not left, left
    assert all(is_free(port, _HOST) for port in service.ports)
    assert not any(folder.exists() for folder in folders)
    assert _status(home) == _REFUSED
    again = run("serving", "down", PROJECT, "--home", home.path)
    assert again.returncode == _REFUSED
    assert "no service delays runs" in again.stderr


def _its_status_is_shown(service: Service) -> None:
    status = run("serving", "status", PROJECT, "--home", service.home.path, "--json")
    assert status.returncode == 0
    shown = json.loads(status.stdout)
    assert shown["service"] == {
        "service": PROJECT,
        "models": [PROJECT],
        "pid": service.pid,
        "grpc": service.grpc,
        "http": service.http,
        "insecure": False,
        "cluster": None,
    }
    (replica,) = shown["replicas"]
    assert replica["pid"] in {process.pid for process in find_session(service.pid)}
    with grpc.insecure_channel(service.grpc) as channel:
        grpc.channel_ready_future(channel).result(_READY_S)
    champion = ReleaseStore(service.home.store).read_traffic(PROJECT).require_champion()
    model = replica["models"][PROJECT]
    assert model["traffic"]["champion"] == champion.model_dump()
    assert model["failure"] is None


def _its_log_is_shown(service: Service) -> None:
    shown = run("serving", "logs", PROJECT, "--home", service.home.path)
    assert shown.returncode == 0
    assert '"message": "serving delays by traffic revision 1: champion 1.0.0"' in shown.stdout
    assert service.token not in shown.stdout


def _it_scales(service: Service) -> None:
    """Those that answer already stay."""
    before = {replica.pid for replica in service.replicas}
    for replicas in (2, 1):
        scaled = run("serving", "scale", PROJECT, replicas, "--home", service.home.path)
        assert scaled.returncode == 0, scaled.stderr
        now = {replica.pid for replica in service.replicas}
        assert len(now) == replicas
        assert now & before
    for impossible in (0, 65, "two"):
        assert run("serving", "scale", PROJECT, impossible, "--home", service.home.path).returncode == _REFUSED


def _a_second_one_is_refused(service: Service, tmp_path: Path) -> None:
    status, message = _up(service.home)
    assert status == _REFUSED
    assert "runs from" in message
    assert "serve down" in message
    elsewhere = copy_prepared(tmp_path / "elsewhere")
    http_port, grpc_port = service.ports
    status, message = _up(elsewhere, "--host", _HOST, "--http-port", http_port, "--grpc-port", grpc_port)
    assert status == _REFUSED
    assert f"port {http_port} and {grpc_port} is taken" in message
    assert _status(elsewhere) == _REFUSED
    assert httpx.get(f"http://{service.http}/readyz", trust_env=False).status_code == 200


def _without_a_release_it_says_so_and_comes_back_with_it(service: Service) -> None:
    """Requests are refused at once, not held until a replica is there, which may be never."""
    store = ReleaseStore(service.home.store)
    folder = Path(store.read(PROJECT, store.read_traffic(PROJECT).require_champion().digest).location)
    (replica,) = service.replicas
    gone = folder.rename(folder.with_name("gone"))
    os.kill(replica.pid, signal.SIGKILL)
    state = service.place.find()
    assert wait_until(lambda: find_fault(state) is not None, _REFUSED_WITHIN_S)
    response = httpx.post(
        f"http://{service.http}/v1/models/{PROJECT}:predict",
        headers=dict([service.authorization]),
        trust_env=False,
        timeout=_REFUSED_WITHIN_S,
    )
    assert (response.status_code, response.json()["code"]) == (503, "UNAVAILABLE")
    assert httpx.get(f"http://{service.http}/-/healthz", trust_env=False).status_code == 503
    with grpc.insecure_channel(service.grpc) as channel:
        stub = delays_pb2_grpc.DelaysServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(delays_pb2.PredictRequest(), metadata=(service.authorization,), timeout=_REFUSED_WITHIN_S)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert wait_until(lambda: "a replica does not start: " in service.log, _REPLACED_AFTER_S)
    status = run("serving", "status", PROJECT, "--home", service.home.path, "--json")
    shown = json.loads(status.stdout)
    assert (status.returncode, shown["serving"], shown["replicas"]) == (1, False, [])
    assert folder.name in shown["start_failure"]["reason"]
    gone.rename(folder)
    assert wait_until(lambda: find_fault(state) is None, _REPLACED_AFTER_S)
    assert _status(service.home) == 0


def _what_serve_has_started_is_replaced(service: Service) -> None:
    names = ("ray::ServeController", "ray::HAProxyManager", "ray::ProxyActor")
    killed = {name: service.find_processes(name) for name in names}
    assert all(killed.values())
    kill(set().union(*killed.values()))
    state = service.place.find()
    assert wait_until(
        lambda: all(service.find_processes(name) - killed[name] for name in names) and find_fault(state) is None,
        _REPLACED_AFTER_S,
    ), find_fault(state)


def _wait_for_end(service: Service) -> int:
    """The exit status of a service that ends by itself. Its starter has ended: it is a child of the tests."""
    ended: list[int] = []

    def has_ended() -> bool:
        pid, status = os.waitpid(service.pid, os.WNOHANG)
        if pid:
            ended.append(os.waitstatus_to_exitcode(status))
        return bool(pid)

    deadline = time.monotonic() + _ENDED_AFTER_S
    while not has_ended():
        assert time.monotonic() < deadline, service.log[-2000:]
        time.sleep(0.01)
    return ended[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gcs_server", "Ray's gcs_server ended"),
        # Ray ends its raylet with each of its agents.
        ("ray::RuntimeEnvAgent", "Ray's raylet ended"),
        (" run --name delays ", None),
    ],
)
def test_a_service_ends_when_a_process_below_it_is_killed_and_leaves_nothing_to_the_next(
    home: Home, name: str, reason: str | None
) -> None:
    with running_service(home) as service:
        started = find_session(service.pid)
        (killed,) = service.find_processes(name)
        folders = _scratch_folders(started)
        os.kill(killed.pid, signal.SIGKILL)
        assert _wait_for_end(service) == (1 if reason else -signal.SIGKILL)
        assert _status(home) == _REFUSED
        if reason:
            assert f'"message": "the service ends: {reason}; start the service again"' in service.log
            assert not any(folder.exists() for folder in folders)
        assert wait_until(lambda: all(is_free(port) for port in service.ports), _CLOSED_AFTER_S)
        # Ray's agents too: without their raylet they would stay for minutes.
        assert wait_until(lambda: not started & set(list_processes()), _CLOSED_AFTER_S)
    with scratch_folder():
        assert not any(folder.exists() for folder in folders)


def _change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _change_a_metric(path: Path) -> None:
    manifest = json.loads(path.read_text())
    manifest["identity"]["metrics"]["roc_auc"] = 0.99
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "tamper", "expected"),
    [
        pytest.param(GRAPH, _change_a_byte, r"sha256 is [0-9a-f]{64}, the manifest says [0-9a-f]{64}", id="changed"),
        pytest.param(MODEL_CARD, Path.unlink, r"sha256 is absent, the manifest says [0-9a-f]{64}", id="absent"),
        pytest.param("more.py", Path.touch, r"the manifest names no such file", id="unknown"),
        pytest.param(
            MANIFEST, _change_a_metric, r"says digest [0-9a-f]{64}, its content has [0-9a-f]{64}", id="manifest"
        ),
    ],
)
def test_a_tampered_release_is_refused(home: Home, name: str, tamper: Callable[[Path], None], expected: str) -> None:
    store = ReleaseStore(home.store)
    folder = Path(store.read(PROJECT, store.read_traffic(PROJECT).require_champion().digest).location)
    tamper(folder / name)
    status, message = _up(home)
    assert status == _REFUSED
    assert str(folder / name) in message
    assert re.search(expected, message)
    assert _status(home) == _REFUSED


def test_nothing_promoted_is_refused(tmp_path: Path) -> None:
    status, message = _up(Home(tmp_path / "empty"))
    assert status == _REFUSED
    assert "no release of delays takes traffic" in message


def test_a_champion_that_the_store_lacks_is_refused(home: Home) -> None:
    traffic = home.store / "traffic" / f"{PROJECT}.json"
    digest = ReleaseStore(home.store).read_traffic(PROJECT).require_champion().digest
    traffic.write_text(traffic.read_text().replace(digest, "0" * 64))
    status, message = _up(home)
    assert status == _REFUSED
    assert f"no release {'0' * 64}" in message


def test_a_project_that_is_not_there_is_refused(tmp_path: Path) -> None:
    status, message = _up(Home(tmp_path), project="no_such_project")
    assert status == _REFUSED
    assert "no release of no_such_project takes traffic" in message


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--http-port", 9_999, "--grpc-port", 9_999), "they must differ"),
        (("--http-port", 70_000), "http_port"),
        (("--replicas", 0), "replicas"),
        (("--max-rows", 0), "max_rows"),
    ],
)
def test_settings_that_cannot_be_are_refused(flags: tuple[object, ...], expected: str) -> None:
    """Refused before anything is read: all tests share this home."""
    status, message = _up(PREPARED, *flags)
    assert status == _REFUSED
    assert expected in message
