"""Stops a service under load, and counts the requests that it cut."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import grpc
from resilience.service import Service

from suite.goals import Comparison, Goal

_CALLERS: Final = 4
_ROWS: Final = 10_000
_LOAD_S: Final = 3.0
_TIMEOUT_S: Final = 60.0


def measure(service: Service) -> Iterator[Goal]:
    """Large requests at both doors, without a pause, and SIGTERM in their midst."""
    stopping = threading.Event()
    cut: list[str] = []
    answered: list[float] = []
    ask = [_ask_rest, _ask_grpc]
    threads = [
        threading.Thread(target=ask[number % 2], args=(service, stopping, answered, cut))
        for number in range(2 * _CALLERS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(_LOAD_S)
    stopping.set()
    os.kill(service.pid, signal.SIGTERM)
    began = time.monotonic()
    for thread in threads:
        thread.join()
    yield Goal("requests answered before SIGTERM", len(answered), 2 * _CALLERS, Comparison.AT_LEAST)
    yield Goal(f"requests cut by SIGTERM, of {2 * _CALLERS} in flight", len(cut), 0, Comparison.AT_MOST)
    while service.status() is None and time.monotonic() - began < _TIMEOUT_S:
        time.sleep(0.05)
    ended = time.monotonic() - began if service.status() == 0 else float("inf")
    yield Goal("until the service has ended with status 0", ended, 30.0, Comparison.AT_MOST, "s")


def _ask_rest(service: Service, stopping: threading.Event, answered: list[float], cut: list[str]) -> None:
    body = service.questions.json(_ROWS)
    while not stopping.is_set():
        try:
            status, _ = service.post(service.questions.path, body, _TIMEOUT_S)
        except (OSError, http.client.HTTPException) as error:
            cut.append(repr(error))
            return
        if status == http.HTTPStatus.OK:
            answered.append(time.monotonic())
        else:
            cut.append(f"REST {status}")


def _ask_grpc(service: Service, stopping: threading.Event, answered: list[float], cut: list[str]) -> None:
    with service.channel() as channel:
        call: Any = channel.unary_unary(service.questions.method, None, None)
        body = service.questions.message(_ROWS)
        while not stopping.is_set():
            try:
                call(body, timeout=_TIMEOUT_S, metadata=service.metadata)
            except grpc.RpcError as error:
                cut.append(str(error))
                return
            answered.append(time.monotonic())
