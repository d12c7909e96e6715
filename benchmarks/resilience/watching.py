"""What a bystander sees, and what a replica holds, while something else happens to the service."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import numpy as np
from resilience.service import Service

_EVERY_S: Final = 0.02
_TIMEOUT_S: Final = 30.0
_SAMPLE_S: Final = 0.05


@dataclass
class Seen:
    """Figures of one period.

    Attributes:
        latencies_s: of the bystander's requests, alternately REST and gRPC.
        failed: those without an answer.
        before_mib: resident memory of the replicas at its beginning.
        peak_mib: the largest during it.
    """

    before_mib: float
    peak_mib: float
    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def p99_ms(self) -> float:
        return float(np.quantile(self.latencies_s, 0.99)) * 1e3 if self.latencies_s else float("inf")

    @property
    def grown_mib(self) -> float:
        return self.peak_mib - self.before_mib


@contextmanager
def watch(service: Service) -> Iterator[Seen]:
    """Asks for a row every 20 ms at each typed door, and looks at the replicas' memory, until the context ends."""
    resident = service.replica_mib()
    seen, ending = Seen(resident, resident), threading.Event()
    threads = [
        threading.Thread(target=_ask_rest, args=(service, seen, ending)),
        threading.Thread(target=_ask_grpc, args=(service, seen, ending)),
        threading.Thread(target=_sample, args=(service, seen, ending)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def _ask_rest(service: Service, seen: Seen, ending: threading.Event) -> None:
    path, body = service.questions.path, service.questions.json()
    while not ending.wait(_EVERY_S):
        began = time.monotonic()
        try:
            status, _ = service.post(path, body, _TIMEOUT_S)
        except (OSError, http.client.HTTPException):
            status = 0
        _record(seen, began, is_answered=status == http.HTTPStatus.OK)


def _ask_grpc(service: Service, seen: Seen, ending: threading.Event) -> None:
    with service.channel() as channel:
        call: Any = channel.unary_unary(service.questions.method, None, None)
        body = service.questions.message()
        while not ending.wait(_EVERY_S):
            began = time.monotonic()
            try:
                call(body, timeout=_TIMEOUT_S, metadata=service.metadata)
            except grpc.RpcError:
                _record(seen, began, is_answered=False)
            else:
                _record(seen, began, is_answered=True)


def _record(seen: Seen, began: float, *, is_answered: bool) -> None:
    seen.latencies_s.append(time.monotonic() - began)
    seen.failed += not is_answered


def _sample(service: Service, seen: Seen, ending: threading.Event) -> None:
    while not ending.wait(_SAMPLE_S):
        seen.peak_mib = max(seen.peak_mib, service.replica_mib())
