"""A cluster of three hosts, each in a network of its own: one loses power, and every request is answered."""

import json
import logging
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from integration import stranger
from integration.burst import Burst
from integration.hosts import Host, made_hosts
from integration.load import Load
from integration.service import PROJECT, Service
from prepared.place import copy_prepared
from support.commands import environment
from support.processes import wait_until
from support.sockets import can_make_networks

from athanor.home import Home
from delays.v1 import delays_pb2

_REASON: Final = can_make_networks()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=_REASON or "")

_BACK_S: Final = 60.0
_STOPPED_S: Final = 120.0


@dataclass(frozen=True)
class Cluster:
    """A head and two workers, on which the project is deployed; and a host outside the cluster."""

    head: Host
    workers: tuple[Host, Host]
    outsider: Host
    token: Path
    service: Service

    @property
    def address(self) -> str:
        return f"{self.head.address}:6379"

    @property
    def hosts(self) -> dict[str, Host]:
        return {host.address: host for host in (self.head, *self.workers)}

    @property
    def nodes(self) -> list[str]:
        """The nodes of the replicas, one for each."""
        return [status.node or "" for status in self.service.replicas]

    @property
    def place(self) -> tuple[object, ...]:
        return ("--address", self.address, "--ray-token-file", self.token, "--home", self.service.home.path)

    def deploy(self, *settings: object) -> None:
        done = self.head.serving("deploy", PROJECT, *self.place, "--host", self.head.address, *settings)
        assert done.returncode == 0, done.stderr

    def join(self, host: Host) -> None:
        host.start_node("--join", self.address, "--ray-token-file", self.token)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="atc-", dir="/tmp") as kept:
        folder = Path(kept)
        home: Home = copy_prepared(folder / "home")
        token = folder / "token"
        with made_hosts(4, folder) as (head, first, second, outsider):
            head.start_node("--head", "--host", head.address, "--ray-token-file", token)
            head.wait_for_node()
            service = Service(home, PROJECT, 0, f"{head.address}:9000", f"{head.address}:8000")
            found = Cluster(head, (first, second), outsider, token, service)
            for worker in found.workers:
                found.join(worker)
            for worker in found.workers:
                worker.wait_for_node()
            found.deploy()
            yield found
            gone = head.serving("undeploy", PROJECT, *found.place)
            assert gone.returncode == 0, gone.stderr


def test_the_head_makes_a_token_for_its_owner_alone(cluster: Cluster) -> None:
    assert stat.S_IMODE(cluster.token.stat().st_mode) == 0o600
    assert len(cluster.token.read_text()) >= 43


def test_two_replicas_are_on_two_hosts(cluster: Cluster) -> None:
    assert len(set(cluster.nodes)) == 2


@pytest.mark.parametrize("token", [None, "", "x" * 43])
def test_without_the_token_a_host_does_not_join(cluster: Cluster, token: str | None) -> None:
    path = cluster.token.with_name("wrong")
    path.unlink(missing_ok=True)
    if token is not None:
        path.write_text(token)
    refused = cluster.outsider.serving("node", "--join", cluster.address, "--ray-token-file", path)
    assert refused.returncode == 2
    assert str(path) in refused.stderr
    assert "copy the head's token file there" in " ".join(refused.stderr.split())


def _open_ports(host: Host) -> list[tuple[int, str]]:
    """Ports beyond the loopback address of a host, each with its command."""
    program = (
        "import json,sys;from support.sockets import find_network_sockets as f;"
        "print(json.dumps([(s.port,s.command) for s in f(map(int,sys.argv[1:])) if not s.is_on_loopback]))"
    )
    command = host.command("-c", program, *sorted(host.pids))
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    return [(port, name) for port, name in json.loads(done.stdout)]


def test_a_host_listens_at_the_ports_that_the_guide_names_and_no_others(cluster: Cluster) -> None:
    for host in cluster.hosts.values():
        ports = {port for port, _ in _open_ports(host)}
        doors = {6379, 8000, 9000} if host is cluster.head else set()
        replicas = set() if host is cluster.head else {*range(19_000, 19_064), *range(19_100, 19_164)}
        assert ports - doors - replicas <= set(range(20_000, 20_200)), host.address
        assert doors <= ports


def test_a_stranger_without_the_token_learns_nothing_at_any_port_of_ray(cluster: Cluster) -> None:
    for token in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x" * 43}):
        command = cluster.outsider.command(stranger.__file__, "ray", cluster.head.address, 6379)
        done = subprocess.run(command, capture_output=True, text=True, env={**environment(), **token}, check=True)
        assert "AuthenticationError" in json.loads(done.stdout)


def test_by_http_a_stranger_reads_rays_own_metrics_and_no_more(cluster: Cluster) -> None:
    for host in cluster.hosts.values():
        ports = [port for port, _ in _open_ports(host) if port == 6379 or 20_000 <= port < 20_200]
        command = cluster.outsider.command(stranger.__file__, "read", host.address, *ports)
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
        statuses = json.loads(done.stdout)
        assert set(statuses) == set(map(str, ports))
        assert {port for port, status in statuses.items() if status == 200} <= {"20004"}, statuses


def test_deploying_again_changes_the_settings_and_loses_no_request(
    cluster: Cluster, flights: list[delays_pb2.Flight]
) -> None:
    with Load(cluster.service, flights, 50, allow_plaintext=True) as load:
        load.wait_for_answers(50)
        cluster.deploy("--replicas", 3, "--max-rows", 99)
        load.wait_for_answers(50)
        assert len(cluster.nodes) == 3
        cluster.deploy("--replicas", 2)
        load.wait_for_answers(50)
    assert load.lost == []
    assert wait_until(lambda: len(cluster.nodes) == 2, _BACK_S)


def test_a_host_is_stopped_and_no_request_is_cut(cluster: Cluster, flights: list[delays_pb2.Flight]) -> None:
    cluster.deploy("--grace-period-s", 40)
    victim = next(host for host in cluster.workers if host.address in cluster.nodes)
    assert victim.node is not None
    with Burst(cluster.service, flights) as burst:
        burst.wait_for_first()
        victim.node.terminate()
        in_flight = burst.in_flight
    assert in_flight
    assert not burst.cut, burst.cut
    assert victim.node.wait(_STOPPED_S) == 0
    assert victim.address not in cluster.nodes
    assert len(cluster.nodes) == 2
    cluster.join(victim)
    victim.wait_for_node()


def test_a_host_loses_power_and_no_request_is_lost(cluster: Cluster, flights: list[delays_pb2.Flight]) -> None:
    # The bridge is this machine's own.
    with Load(cluster.service, flights, 50, allow_plaintext=True) as load:
        load.wait_for_answers(50)
        victim = next(host for host in cluster.workers if host.address in cluster.nodes)
        killed_at = time.monotonic()
        victim.kill()
        first_s = load.wait_for_answers(50)
        assert wait_until(lambda: victim.address not in (found := cluster.nodes) and len(set(found)) == 2, _BACK_S)
        replaced_s = time.monotonic() - killed_at
        load.wait_for_answers(50)
        victim.plug_in()
        cluster.join(victim)
        victim.wait_for_node()
        load.wait_for_answers(50)
    assert load.lost == []
    slowest_s = max(answer.ended - answer.began for answer in load.answers)
    figures = {
        "answered": len(load.answers),
        "retries": load.retries,
        "first_answer_s": round(first_s, 2),
        "slowest_answer_s": round(slowest_s, 2),
        "replaced_s": round(replaced_s, 2),
    }
    logging.getLogger(__name__).warning("seen: %s", json.dumps(figures))
