"""HAProxy that ends by itself is started again; here it is any process, started as Ray starts HAProxy."""

import asyncio
from typing import Any

from athanor.cluster import ray_internals


class HAProxy:
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


def count_starts(scenario: Any) -> int:
    """How many processes a supervised HAProxy has started at the end of a scenario."""
    methods = {name: method for name, method in vars(HAProxy).items() if callable(method)}
    supervised: Any = type("Supervised", (HAProxy,), methods)
    ray_internals.supervise(supervised)

    async def play() -> int:
        haproxy: HAProxy = supervised()
        await haproxy.start()
        await scenario(haproxy)
        await haproxy.stop()
        await asyncio.sleep(0.2)
        assert haproxy._proc is not None
        assert haproxy._proc.returncode is not None
        return haproxy.starts

    return asyncio.run(asyncio.wait_for(play(), 120))


async def kill(haproxy: HAProxy) -> asyncio.subprocess.Process:
    killed = haproxy._proc
    assert killed is not None
    killed.kill()
    await killed.wait()
    return killed


def test_haproxy_that_was_killed_is_started_again_and_again() -> None:
    async def scenario(haproxy: HAProxy) -> None:
        for _ in range(2):
            killed = await kill(haproxy)
            while haproxy._proc is killed:
                await asyncio.sleep(0.01)

    assert count_starts(scenario) == 3


def test_haproxy_that_was_stopped_or_replaced_is_not_started_again() -> None:
    async def scenario(haproxy: HAProxy) -> None:
        await haproxy._graceful_reload()
        await asyncio.sleep(0.1)

    assert count_starts(scenario) == 2


def test_a_reload_after_haproxy_was_killed_waits_for_its_successor() -> None:
    async def scenario(haproxy: HAProxy) -> None:
        await kill(haproxy)
        await haproxy._graceful_reload()

    assert count_starts(scenario) == 3


def test_without_supervision_haproxy_that_was_killed_is_not_started_again() -> None:
    async def play() -> int:
        haproxy = HAProxy()
        await haproxy.start()
        await kill(haproxy)
        await asyncio.sleep(0.2)
        return haproxy.starts

    assert asyncio.run(play()) == 1
