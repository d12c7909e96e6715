"""How one door is measured: its answers first, then, in turns with all others, its speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import grpc

from serving.comparison.contenders import Contender
from serving.comparison.doors import Door
from serving.comparison.load import Target, pace, press
from serving.comparison.ours import CoreAlone
from serving.comparison.prepare import BATCH, Prepared, demand_equal
from serving.comparison.servers import Server, Site

CLIENTS: Final = 32
_BATCH_CLIENTS: Final = 4
_READY_S: Final = 120.0
_POLL_S: Final = 0.1


@dataclass(frozen=True)
class Turn:
    """Figures of one turn of one door; times in seconds.

    Attributes:
        per_s: single-row requests per second at `CLIENTS` at once.
        median_s, p99_s: of a caller who is alone.
        paced_median_s, paced_p99_s: at half of `per_s`.
        rows_per_s: in requests of `BATCH` rows.
    """

    per_s: float
    median_s: float
    p99_s: float
    paced_median_s: float
    paced_p99_s: float
    rows_per_s: float


@dataclass(frozen=True)
class Lane:
    """One door of a running server, its requests written and its answers checked."""

    name: str
    contender: Contender
    door: Door
    server: Server
    single: Target
    batch: Target

    def take_turn(self, seconds: float, number: int) -> Turn:
        """Measures each figure for so long. Raises RuntimeError if an answer has changed."""
        self.server.demand_running()
        top = press(self.single, CLIENTS, seconds)
        alone = press(self.single, 1, seconds)
        paced = pace(self.single, top.per_s / 2, seconds, seed=number)
        batch = press(self.batch, _BATCH_CLIENTS, seconds)
        return Turn(
            per_s=top.per_s,
            median_s=alone.quantile_s(0.5),
            p99_s=alone.quantile_s(0.99),
            paced_median_s=paced.quantile_s(0.5),
            paced_p99_s=paced.quantile_s(0.99),
            rows_per_s=batch.per_s * BATCH,
        )


def open_lane(contender: Contender, door: Door, server: Server, site: Site) -> Lane:
    """Waits until a door answers, and demands the right answers to one row and to `BATCH`.

    Raises:
        RuntimeError: it does not answer, or wrongly.
    """
    name = f"{contender.name}, {door.name}" if len(contender.doors) > 1 else contender.name
    url = door.url(site.prepared, server.ports[door.protocol])
    targets = []
    for count in (1, BATCH):
        body = door.encode(site.prepared, count)
        content = _ask_patiently(door, url, body, server)
        demand_equal(site.prepared.probabilities[:count], door.decode(site.prepared, content), name)
        file = site.scratch / f"{name} {count}.body"
        file.write_bytes(door.frame(body))
        targets.append(Target(url, door.protocol, file, len(door.frame(content))))
    return Lane(name, contender, door, server, *targets)


def _ask_patiently(door: Door, url: str, body: bytes, server: Server) -> bytes:
    """The answer, as soon as there is one: servers listen before they are ready."""
    deadline = time.monotonic() + _READY_S
    while True:
        server.demand_running()
        try:
            return door.ask(url, body)
        except (OSError, RuntimeError, grpc.RpcError) as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{server.name} does not answer: {error}\n{server.tail()}") from error
            time.sleep(_POLL_S)


@dataclass(frozen=True)
class Alone:
    """The core in this process.

    Attributes:
        single_per_s: requests of one row per second, bytes to bytes.
        messages_rows_per_s: rows per second in requests of `BATCH`, bytes to bytes.
        columns_rows_per_s: the same from columns to probabilities.
    """

    single_per_s: float
    messages_rows_per_s: float
    columns_rows_per_s: float


def measure_core(core: CoreAlone, prepared: Prepared, door: Door, seconds: float) -> Alone:
    """Measures the core for so long. Raises RuntimeError if it answers wrongly."""
    single, batch = door.encode(prepared, 1), door.encode(prepared, BATCH)
    for body, count in ((single, 1), (batch, BATCH)):
        answers = door.decode(prepared, core.answer_message(body))
        demand_equal(prepared.probabilities[:count], answers, "the core")
    demand_equal(prepared.probabilities, core.answer_columns(prepared.columns), "the core")
    return Alone(
        single_per_s=_repeat(lambda: core.answer_message(single), seconds),
        messages_rows_per_s=BATCH * _repeat(lambda: core.answer_message(batch), seconds),
        columns_rows_per_s=BATCH * _repeat(lambda: core.answer_columns(prepared.columns), seconds),
    )


def _repeat(task: Callable[[], object], seconds: float) -> float:
    """How often per second a task can be done."""
    task()
    began, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        task()
        count += 1
    return count / passed
