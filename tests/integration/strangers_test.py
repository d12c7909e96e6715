"""From another network, as root can make one: no socket of a service gives a stranger more than a sign of life."""

import ipaddress
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from integration import stranger
from integration.service import PROJECT, Service, running_service
from prepared.place import copy_prepared
from support.commands import environment
from support.processes import find_descendants, find_session, nothing_survives
from support.sockets import FileSocket, NetworkSocket, can_make_networks, find_file_sockets, find_network_sockets

_REASON: Final = can_make_networks()
needs_networks = pytest.mark.skipif(_REASON is not None, reason=_REASON or "")

# Life, and nothing more.
_OPEN_PATHS: Final = frozenset(
    f"GET {path}" for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/-/healthz")
)
_OPEN_METHODS: Final = frozenset(
    ("/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady")
) | {"/grpc.health.v1.Health/Check"}
_HIDDEN_PATHS: Final = frozenset(f"GET {path}" for path in ("/-/routes", "/%2D/routes", "/stats"))
_HIDDEN_METHOD: Final = "/ray.serve.RayServeAPIService/ListApplications"


@dataclass(frozen=True)
class Elsewhere:
    """A network of its own, whose only way out ends at this machine.

    Attributes:
        here: addresses of this machine, as seen from there.
    """

    name: str
    here: tuple[str, ...]

    def run(self, *arguments: str) -> Any:
        command = ["ip", "netns", "exec", self.name, sys.executable, stranger.__file__, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment(), check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    name, link = f"ath-{os.getpid()}", f"a{os.getpid() % 1_000_000}"
    # No network uses 198.18.0.0/15 or fd00::/8.
    net, net6 = f"198.18.{secrets.randbelow(250)}", f"fd00:{secrets.randbelow(65_536):x}::"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no network can be made here: {made.stderr.strip()}")
    inside = ("ip", "-n", name)
    try:
        for command in (
            ("ip", "link", "add", f"{link}h", "type", "veth", "peer", "name", f"{link}s", "netns", name),
            ("ip", "address", "add", f"{net}.1/30", "dev", f"{link}h"),
            ("ip", "-6", "address", "add", f"{net6}1/64", "dev", f"{link}h", "nodad"),
            ("ip", "link", "set", f"{link}h", "up"),
            (*inside, "address", "add", f"{net}.2/30", "dev", f"{link}s"),
            (*inside, "-6", "address", "add", f"{net6}2/64", "dev", f"{link}s", "nodad"),
            (*inside, "link", "set", f"{link}s", "up"),
            (*inside, "link", "set", "lo", "up"),
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            # A machine may have no IPv6: then nothing listens there either.
            assert done.returncode == 0 or "-6" in command, f"{command}: {done.stderr}"
        has_six = subprocess.run(["ip", "-6", "address", "show", "dev", f"{link}h"], capture_output=True, check=True)
        yield Elsewhere(name, (f"{net}.1", *([f"{net6}1"] if has_six.stdout else [])))
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose doors are open to other machines."""
    home = copy_prepared(tmp_path_factory.mktemp("opened") / "home")
    with nothing_survives(), running_service(home, "--host", "0.0.0.0") as running:  # noqa: S104 - what is tested
        yield running


@pytest.fixture(params=["service", "opened"])
def either(request: pytest.FixtureRequest) -> Service:
    """A service with its doors as they are by default, and one with open doors."""
    found: Service = request.getfixturevalue(request.param)
    return found


def find_pids(service: Service) -> set[int]:
    processes = find_descendants(service.pid) | find_session(service.pid)
    return {service.pid, *(process.pid for process in processes)}


def test_a_socket_that_a_child_opens_is_found(tmp_path: Path) -> None:
    program = f"""
import socket, sys
tcp, udp, six = socket.socket(), socket.socket(type=socket.SOCK_DGRAM), socket.socket(socket.AF_INET6)
named, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
tcp.bind(("0.0.0.0", 0)); udp.bind(("0.0.0.0", 0)); six.bind(("::ffff:127.0.0.1", 0))
named.bind("{tmp_path}/loose"); abstract.bind("\\0ath-{os.getpid()}")
for waiting in (tcp, six, named, abstract): waiting.listen()
print(*(s.getsockname()[1] for s in (tcp, udp, six)), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        tcp, udp, six = map(int, child.stdout.readline().split())
        pids = {process.pid for process in find_descendants(os.getpid())}
        found = {(s.protocol, s.port): s for s in find_network_sockets(pids) if s.pid == child.pid}
        files = {s.name: s for s in find_file_sockets(pids) if s.pid == child.pid}
        child.communicate("")
    everywhere = ipaddress.ip_address("0.0.0.0")  # noqa: S104 - what is looked for
    assert found.keys() == {("tcp", tcp), ("udp", udp), ("tcp", six)}
    assert found["tcp", tcp].address == found["udp", udp].address == everywhere
    assert not found["tcp", tcp].is_on_loopback
    assert found["tcp", six].is_on_loopback
    assert files.keys() == {f"{tmp_path}/loose", f"@ath-{os.getpid()}"}
    assert not files[f"@ath-{os.getpid()}"].is_private


def test_a_file_socket_that_anybody_may_write_to_is_not_private(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as loose:
        loose.bind(str(path))
        path.chmod(0o777)
        opened = [folder for folder in path.parents if folder.stat().st_mode & 0o011 == 0]
        for folder in opened:
            folder.chmod(folder.stat().st_mode | 0o011)
        try:
            assert not FileSocket(os.getpid(), "", str(path)).is_private
            path.chmod(0o700)
            assert FileSocket(os.getpid(), "", str(path)).is_private
        finally:
            for folder in opened:
                folder.chmod(0o700)


def _split(service: Service) -> tuple[list[NetworkSocket], list[NetworkSocket]]:
    """The doors, and all other sockets of the service."""
    found = find_network_sockets(find_pids(service))
    doors = [s for s in found if s.port in service.ports and s.protocol == "tcp"]
    return doors, [s for s in found if s not in doors]


def test_all_but_the_doors_is_on_this_machine_alone(either: Service, request: pytest.FixtureRequest) -> None:
    doors, inner = _split(either)
    # HAProxy may be two for a moment, while one takes over from another.
    assert {door.port for door in doors} == set(either.ports)
    assert {door.is_on_loopback for door in doors} == {"service" in request.node.callspec.params.values()}
    # Replica, fallback proxy, Ray's own: had they another owner than the service, there would be none to look at.
    assert len(inner) > 10
    assert [s for s in inner if not s.is_on_loopback or s.protocol != "tcp"] == []


def test_no_socket_of_a_file_is_open_to_other_users(either: Service) -> None:
    found = find_file_sockets(find_pids(either))
    assert len(found) >= 3
    assert [s for s in found if not s.is_private] == []


@needs_networks
def test_from_elsewhere_what_listens_everywhere_is_reached(elsewhere: Elsewhere) -> None:
    with socket.create_server(("", 0)) as server:
        port = str(server.getsockname()[1])
        assert elsewhere.run("connect", elsewhere.here[0], port) == {port: "connected"}


@needs_networks
def test_from_elsewhere_no_socket_but_an_open_door_is_reached(either: Service, elsewhere: Elsewhere) -> None:
    doors, inner = _split(either)
    reachable = {str(door.port) for door in doors if not door.is_on_loopback}
    ports = sorted({str(s.port) for s in (*doors, *inner)})
    for host in elsewhere.here:
        came_to = elsewhere.run("connect", host, *ports)
        assert came_to.keys() == set(ports)
        connected = {port for port, what in came_to.items() if what == "connected"}
        # An address of IPv4 opens no door to IPv6.
        assert connected == (reachable if "." in host else set())


def _ask(elsewhere: Elsewhere, service: Service, token: str = "") -> Any:
    return elsewhere.run("ask", elsewhere.here[0], *map(str, service.ports), PROJECT, *([token] if token else []))


@needs_networks
@pytest.mark.parametrize("token", ["", "athn_" + "A" * 43])
def test_a_stranger_at_an_open_door_learns_of_life_alone(opened: Service, elsewhere: Elsewhere, token: str) -> None:
    answers = _ask(elsewhere, opened, token)
    for asked, (status, body) in answers["rest"].items():
        if asked in _OPEN_PATHS:
            assert status == 200, asked
        elif asked in _HIDDEN_PATHS:
            assert status == 404, asked
        elif asked != "GET /docs":
            assert status == 401, asked
        # Neither model nor columns nor versions: /docs may show a form that asks for a token.
        assert not any(word in body for word in (PROJECT, "distance", "1.0.0", "digest")), (asked, body)
    for method, (code, content) in answers["grpc"].items():
        if method in _OPEN_METHODS:
            assert code == "OK", method
        else:
            assert code == ("UNIMPLEMENTED" if method == _HIDDEN_METHOD else "UNAUTHENTICATED"), (method, content)
        assert PROJECT not in content, method


@needs_networks
def test_a_caller_with_the_token_is_answered_at_the_same_doors(opened: Service, elsewhere: Elsewhere) -> None:
    answers = _ask(elsewhere, opened, opened.token)
    refused = {asked for asked, (status, _) in answers["rest"].items() if status in {401, 403}}
    assert refused == set()
    assert answers["rest"][f"GET /v2/models/{PROJECT}"][0] == 200
    assert answers["rest"]["GET /metrics"][0] == 200
    codes = {method: code for method, (code, _) in answers["grpc"].items()}
    assert "UNAUTHENTICATED" not in codes.values()
    assert codes["/inference.GRPCInferenceService/ServerMetadata"] == "OK"


def _find_ray(service: Service) -> tuple[str, str]:
    """The port of Ray's store, and the file of its token."""
    (found,) = {s for s in find_network_sockets(find_pids(service)) if s.command.endswith("gcs_server")}
    variables = dict(
        entry.split("=", 1)
        for entry in Path("/proc", str(found.pid), "environ").read_text().split("\0")
        if "=" in entry
    )
    return str(found.port), variables["RAY_AUTH_TOKEN_PATH"]


def _ask_ray(port: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, stranger.__file__, "ray", "127.0.0.1", port],
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment(), **variables},
        check=True,
    )
    return str(json.loads(done.stdout))


def test_ray_lets_in_callers_with_its_token_alone_even_here(service: Service) -> None:
    port, token_path = _find_ray(service)
    assert "AuthenticationError" in _ask_ray(port, RAY_AUTH_MODE="disabled")
    assert "AuthenticationError" in _ask_ray(port, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="x" * 43)
    assert _ask_ray(port, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=token_path).startswith("in: ")


def test_no_process_and_no_log_shows_a_secret(service: Service) -> None:
    _, token_path = _find_ray(service)
    seen = [Path("/proc", str(pid), "cmdline").read_bytes() for pid in find_pids(service)]
    logs = [path for path in Path(token_path).parent.rglob("*") if path.is_file() and str(path) != token_path]
    seen += [path.read_bytes() for path in (*logs, service.place.log)]
    assert len(seen) > 30
    for secret in (Path(token_path).read_text(), service.token):
        assert not any(secret.encode() in text for text in seen)
