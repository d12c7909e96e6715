"""What Ray's workers are made to be before they do anything."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from athanor.cluster import ray_internals as listening


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("[::]:0", "127.0.0.1:0"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("unix:/x", "unix:/x"),
    ],
)
def test_what_is_on_all_interfaces_comes_to_be_on_this_machine_alone(asked: str, given: str) -> None:
    assert listening.to_loopback(asked) == given


_PREPARED = """
import asyncio, sys
from athanor.cluster import ray_internals as listening
if sys.argv[1] == "prepared":
    listening.prepare_worker()
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
    """A process with two gRPC servers as Ray starts them: kind, and ports."""
    environment_ = {**os.environ, listening.MAX_MESSAGE_VARIABLE: "2048", "RAY_SERVE_ENABLE_HA_PROXY": "1"}
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
        # Near the limit the doors answer, with an error of their own; and answers may be larger.
        assert len(echo(bytes(2048 + 60_000), timeout=10)) == 3 * (2048 + 60_000)
        too_large = bytes(2048 + 70_000)
        if kind == "prepared":
            with pytest.raises(grpc.RpcError) as refused:
                echo(too_large, timeout=10)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        else:
            assert len(echo(too_large, timeout=10)) == 3 * len(too_large)


class Keeper:
    """Starts a real process as Ray's class starts HAProxy."""

    def __init__(self) -> None:
        self._proc: asyncio.subprocess.Process | None = None
        self.starts = 0

    async def start(self) -> None:
        self._proc = await self._start_and_wait_for_haproxy()

    async def _start_and_wait_for_haproxy(self) -> asyncio.subprocess.Process:
        self.starts += 1
        process = await asyncio.create_subprocess_exec("sleep", "60")
        await asyncio.sleep(0.05)
        return process

    async def _graceful_reload(self) -> None:
        assert self._proc is not None
        assert self._proc.returncode is None
        old = self._proc
        new = self._start_and_wait_for_haproxy()
        old.terminate()
        self._proc = await new

    async def stop(self) -> None:
        assert self._proc is not None
        if self._proc.returncode is None:
            self._proc.kill()
            await self._proc.wait()


def run_keeper(scenario: Any) -> int:
    """How many processes a kept one has started."""

    class Kept(Keeper):
        pass

    listening.keep_running(Kept)

    async def play() -> int:
        keeper = Kept()
        await keeper.start()
        await scenario(keeper)
        await keeper.stop()
        await asyncio.sleep(0.2)
        assert keeper._proc is not None
        assert keeper._proc.returncode is not None
        return keeper.starts

    return asyncio.run(asyncio.wait_for(play(), 20))


async def kill(keeper: Keeper) -> asyncio.subprocess.Process:
    killed = keeper._proc
    assert killed is not None
    killed.kill()
    await killed.wait()
    return killed


def test_haproxy_that_was_killed_is_started_again_and_again() -> None:
    async def scenario(keeper: Keeper) -> None:
        for _ in range(2):
            killed = await kill(keeper)
            while keeper._proc is killed:
                await asyncio.sleep(0.01)

    assert run_keeper(scenario) == 3


def test_haproxy_that_was_stopped_or_replaced_is_not_started_again() -> None:
    async def scenario(keeper: Keeper) -> None:
        await keeper._graceful_reload()
        await asyncio.sleep(0.1)

    assert run_keeper(scenario) == 2


def test_a_reload_of_haproxy_that_was_killed_waits_for_the_one_that_follows() -> None:
    async def scenario(keeper: Keeper) -> None:
        await kill(keeper)
        await keeper._graceful_reload()

    assert run_keeper(scenario) == 3


def test_without_the_watch_one_that_was_killed_stays_away() -> None:
    async def play() -> int:
        keeper = Keeper()
        await keeper.start()
        await kill(keeper)
        await asyncio.sleep(0.2)
        return keeper.starts

    assert asyncio.run(play()) == 1
