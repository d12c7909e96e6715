"""Floods one model of a service while others are asked for a row at a steady rate."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import numpy as np
from many.services import Site
from resilience.service import Questions

FLOOD_ROWS: Final = 10_000
FLOOD_CALLERS: Final = 32
_PER_S: Final = 50.0
_TIMEOUT_S: Final = 30.0
# So that the flood stands before anything is measured.
_RISE_S: Final = 1.0


@dataclass
class Asked:
    """What steady callers saw.

    Attributes:
        latencies_s: from when a request was due.
        failed: requests that were refused, or not answered.
    """

    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def p99_ms(self) -> float:
        return float(np.quantile(self.latencies_s, 0.99)) * 1e3

    def end(self, due: float, future: Any) -> None:
        self.latencies_s.append(time.monotonic() - due)
        self.failed += future.code().value[0] != 0


def ask_steadily(site: Site, questions: Sequence[Questions], seconds: float) -> Asked:
    """One row of one model after another, 50 a second, whether or not earlier requests wait."""
    asked = Asked()
    with site.service.channel() as channel:
        calls: list[Any] = [channel.unary_unary(each.method, None, None) for each in questions]
        body, metadata, futures = questions[0].message(), site.service.metadata, []
        due = time.monotonic()
        for _, call in zip(range(round(seconds * _PER_S)), cycle(calls), strict=False):
            due += 1 / _PER_S
            time.sleep(max(0.0, due - time.monotonic()))
            future = call.future(body, timeout=_TIMEOUT_S, metadata=metadata)
            future.add_done_callback(partial(asked.end, due))
            futures.append(future)
        for future in futures:
            future.exception()
    return asked


@dataclass
class Flood:
    """Requests of a flood that were answered, and refused."""

    answered: int = 0
    refused: int = 0


@contextmanager
def flooding(site: Site, folder: Path, seconds: float) -> Iterator[Flood]:
    """Large requests for the first model from many callers, without a pause, for so long."""
    target, flood = site.target(folder, FLOOD_ROWS), Flood()
    command = ["h2load", f"--clients={FLOOD_CALLERS}", f"--duration={seconds + 2 * _RISE_S:.0f}", "--threads=1"]
    command += [f"--data={target.body}", f"--header={site.header}", *target.protocol.value, target.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        time.sleep(_RISE_S)
        yield flood
        said, _ = process.communicate(timeout=_TIMEOUT_S)
    done, size = re.search(r"(\d+) done", said), re.search(r"\((\d+)\) data$", said, re.MULTILINE)
    if not (done and size):
        raise RuntimeError(f"the flood failed:\n{said}")
    # An error of gRPC has no body.
    flood.answered = round(int(size[1]) / target.response_bytes)
    flood.refused = int(done[1]) - flood.answered
