"""Strangers without a token: idle connections, streams that stop, compressed bombs, calls without a message."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Final

from resilience.http2 import SlowCaller
from resilience.service import Service
from resilience.watching import watch
from support.http2 import message

from suite.goals import Comparison, Goal

_IDLE: Final = 4_100
_LIVE_S: Final = 1.0
_BOMBS: Final = 300
_STALLED: Final = 60
_UNSENT: Final = 8_000
_ON_ONE: Final = 100
_SEND_S: Final = 60.0
_HOLD_S: Final = 2.0
_MEMORY_MIB: Final = 200.0


def measure(service: Service) -> Iterator[Goal]:
    """Each kind of stranger, one after another."""
    yield from _idle(service, service.http_port, "HTTP")
    yield from _idle(service, service.grpc_port, "gRPC")
    yield from _memory(service, f"{_BOMBS} gzip streams of 16 MiB", _send_bombs)
    yield from _memory(service, f"{_STALLED} streams one byte short of 16 MiB", _stall)
    yield from _memory(service, f"{_UNSENT} calls without a message", _open_unsent)


def _idle(service: Service, port: int, door: str) -> Iterator[Goal]:
    with ExitStack() as held:
        for _ in range(_IDLE):
            with suppress(OSError):
                held.enter_context(socket.create_connection(("127.0.0.1", port), 0.2))
        # A burst from this address has used up what it may open in this second.
        began = time.monotonic()
        while not (is_live := service.is_live(_LIVE_S)) and time.monotonic() - began < _SEND_S:
            time.sleep(0.01)
        yield Goal(
            f"until /livez answers beside {_IDLE} idle connections to the {door} door",
            time.monotonic() - began if is_live else float("inf"),
            _LIVE_S,
            Comparison.AT_MOST,
            "s",
        )
        began = time.monotonic()
        while not service.answers(1.0) and time.monotonic() - began < _SEND_S:
            time.sleep(0.1)
        name = f"until both doors answer, beside {_IDLE} idle connections to the {door} door"
        yield Goal(name, time.monotonic() - began, 15.0, Comparison.AT_MOST, "s")


def _memory(service: Service, name: str, act: Callable[[Service, ExitStack], None]) -> Iterator[Goal]:
    with watch(service) as seen, ExitStack() as held:
        act(service, held)
        time.sleep(_HOLD_S)
    yield Goal(f"memory by {name}", seen.grown_mib, _MEMORY_MIB, Comparison.AT_MOST, "MiB")
    yield Goal(f"bystanders' p99 beside {name}", seen.p99_ms, 200.0, Comparison.AT_MOST, "ms")
    yield Goal(f"bystanders without an answer beside {name}", seen.failed, 0, Comparison.AT_MOST)


def _connect(service: Service, held: ExitStack) -> SlowCaller:
    return held.enter_context(SlowCaller(service.grpc_port))


def _send_bombs(service: Service, held: ExitStack) -> None:
    bomb = message(gzip.compress(bytes(16 * 1024 * 1024 - 1024)), is_compressed=True)
    for _ in range(_BOMBS // _ON_ONE):
        caller = _connect(service, held)
        for _ in range(_ON_ONE):
            caller.send(caller.open(service.questions.method, [("grpc-encoding", "gzip")]), bomb, 1.0)


def _stall(service: Service, held: ExitStack) -> None:
    content = message(bytes(16 * 1024 * 1024))[:-1]
    for _ in range(_STALLED):
        caller = _connect(service, held)
        caller.send(caller.open(service.questions.method), content, 1.0)


def _open_unsent(service: Service, held: ExitStack) -> None:
    for _ in range(_UNSENT // _ON_ONE):
        caller = _connect(service, held)
        for _ in range(_ON_ONE):
            caller.open(service.questions.method)
