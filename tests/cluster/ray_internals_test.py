"""What Ray's workers become before they do anything, and what they refuse to do with another Ray."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from athanor.cluster import ray_environment, ray_internals
from athanor.errors import SettingsError


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("[::]:0", "127.0.0.1:0"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        (":80", "127.0.0.1:80"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("unix:/x", "unix:/x"),
    ],
)
def test_a_server_on_all_interfaces_listens_on_loopback_instead(asked: str, given: str) -> None:
    assert ray_internals.to_inside(asked) == given


@pytest.mark.parametrize("asked", ["10.0.0.1:80", "host:80", "[::]:http", "vsock:1:2", "dns:///x:1"])
def test_a_server_at_an_unknown_address_is_refused(asked: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"would listen at {asked};")):
        ray_internals.to_inside(asked)


def test_on_a_cluster_the_ports_of_replicas_are_at_the_address_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ray_environment.HOST_VARIABLE, "10.0.0.7")
    # Ray's defaults: a pod sets none.
    hosts = {port: ray_internals.find_host(port) for port in (29_999, 30_000, 31_000, 40_000, 41_000, 41_001)}
    inner, at_node = "127.0.0.1", "10.0.0.7"
    assert hosts == {29_999: inner, 30_000: at_node, 31_000: at_node, 40_000: at_node, 41_000: at_node, 41_001: inner}
    assert ray_internals.to_inside("[::]:40000") == "10.0.0.7:40000"
    assert ray_internals.to_inside("10.0.0.7:40000") == "10.0.0.7:40000"


_PREPARED = """
import asyncio, sys
from athanor.cluster import ray_internals
if sys.argv[1] == "prepared":
    ray_internals.prepare_worker()
import grpc
from concurrent import futures
from ray.serve._private.constants import DEFAULT_GRPC_SERVER_OPTIONS
from ray.serve._private.default_impl import add_grpc_address

async def serve():
    server = grpc.aio.server(options=DEFAULT_GRPC_SERVER_OPTIONS)
    port = server.add_insecure_port("[::]:0")
    echo = grpc.unary_unary_rpc_method_handler(lambda request, context: request * 3)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"Echo": echo}),))
    await server.start()
    threaded = grpc.server(futures.ThreadPoolExecutor(1))
    print(port, threaded.add_insecure_port("0.0.0.0:0"), flush=True)
    threaded.start()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)

asyncio.run(serve())
"""


@pytest.fixture(scope="module", params=["prepared", "as_ray_has_it"])
def worker(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[int]]]:
    """A process with two gRPC servers as Ray starts them: its kind and their ports."""
    environment_ = {**os.environ, ray_environment.MAX_MESSAGE_VARIABLE: "2048", "RAY_SERVE_ENABLE_HA_PROXY": "1"}
    environment_["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", _PREPARED, request.param]
    with subprocess.Popen(
        command, env=environment_, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield request.param, [int(port) for port in process.stdout.readline().split()]
        process.communicate("")


def test_a_prepared_worker_listens_on_loopback_alone_and_another_does_not(worker: tuple[str, list[int]]) -> None:
    kind, ports = worker
    # Each address of 127.0.0.0/8 is on this machine, but only one is what they are bound to.
    for port in ports:
        assert _answers(port)
        with socket.socket() as probe:
            assert (probe.connect_ex(("127.9.9.9", port)) != 0) == (kind == "prepared")


def test_a_prepared_worker_refuses_a_message_that_is_far_too_large_before_it_is_read(
    worker: tuple[str, list[int]],
) -> None:
    kind, (port, _) = worker
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo: Any = channel.unary_unary("/t.T/Echo", None, None)
        # Near the limit the handlers answer, with an error of their own; and responses may be larger.
        assert len(echo(bytes(2048 + 60_000), timeout=60)) == 3 * (2048 + 60_000)
        too_large = bytes(2048 + 70_000)
        if kind == "prepared":
            with pytest.raises(grpc.RpcError) as refused:
                echo(too_large, timeout=60)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        else:
            assert len(echo(too_large, timeout=60)) == 3 * len(too_large)
