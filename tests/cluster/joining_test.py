"""Joining a cluster: a real Ray head, and what is not one."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support import commands
from support.processes import nothing_survives
from support.ray_heads import RayHead, run_ray_head

from athanor.cluster import joining
from athanor.cluster.addresses import Address
from athanor.cluster.joining import require_cluster
from athanor.cluster.ray_internals import ClusterNode
from athanor.errors import ServiceError, SettingsError

_JOIN = """
import sys
from pathlib import Path
from athanor.cluster.addresses import Address
from athanor.cluster.joining import joined_ray
from athanor.cluster.ray_environment import DATA
from athanor.errors import AthanorError

try:
    with joined_ray(Address.parse(sys.argv[1]), Path(sys.argv[2]), DATA):
        import ray
        print(ray.get(ray.remote(lambda: "joined").remote()))
except AthanorError as error:
    print(error)
    raise SystemExit(error.exit_status)
"""


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    with nothing_survives(), run_ray_head() as found:
        yield found


def _join(address: object, token: Path, **variables: str) -> tuple[int, str]:
    """Exit status and output of a process of its own: Ray reads the environment once."""
    command = [sys.executable, "-c", _JOIN, str(address), str(token)]
    done = subprocess.run(
        command, env={**commands.environment(), **variables}, capture_output=True, text=True, timeout=110, check=False
    )
    return done.returncode, done.stdout.strip() or done.stderr


def test_a_node_of_this_machine_lets_a_program_join(head: RayHead) -> None:
    # A token in a variable would be preferred to the file.
    assert _join(head.address, head.token, RAY_AUTH_TOKEN="x" * 43) == (0, "joined")


def test_a_wrong_token_is_a_wrong_setting(head: RayHead, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("x" * 43)
    status, output = _join(head.address, wrong)
    assert (status, output) == (
        2,
        f"the cluster {head.address} refuses the token in {wrong}; copy the head's token file there",
    )


def test_another_ray_joins_nothing(head: RayHead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("athanor.cluster.ray_internals.RAY_VERSION", "0.0.1")
    with (
        pytest.raises(SettingsError, match=r"written for Ray 0\.0\.1"),
        joining.joined_ray(Address.parse(head.address), head.token, {}),
    ):
        pass


@contextmanager
def _listener(host: str, reply: bytes) -> Iterator[Address]:
    """A server that sends the same to every client; it keeps a connection open if that is nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family)) as server:
        server.bind((host, 0))
        server.listen()
        kept = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                if reply:
                    connection.sendall(reply)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield Address(host, server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silent", "http"])
def test_what_is_not_a_ray_head_is_told_from_one(
    host: str, reply: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "_GRPC_S", 0.5)
    with _listener(host, reply) as address:
        with pytest.raises(ServiceError, match="is not a Ray head: it does not speak gRPC") as caught:
            require_cluster(address, tmp_path)
        assert str(address) in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_head_that_does_not_listen_is_waited_for_as_long_as_asked(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "_POLL_S", 0.01)
    with _listener(host, b"") as address:
        pass
    for wait_s in (0.0, 0.2):
        began = time.monotonic()
        with pytest.raises(ServiceError, match=r"no Ray head listens at .*; start it by `node --head`"):
            require_cluster(address, tmp_path, wait_s)
        assert wait_s <= time.monotonic() - began < 60


def test_a_node_of_this_machine_is_needed() -> None:
    address = Address("192.0.2.1", 6379)
    with pytest.raises(SettingsError, match=r"no node of the cluster 192\.0\.2\.1:6379 runs on this machine"):
        joining._find_node_here(address, [ClusterNode("192.0.2.1", is_head=True)])


def test_of_several_nodes_here_the_head_is_chosen() -> None:
    nodes = [ClusterNode("127.0.0.2", is_head=False), ClusterNode("127.0.0.1", is_head=True)]
    assert joining._find_node_here(Address("127.0.0.1", 1), nodes) == "127.0.0.1"
