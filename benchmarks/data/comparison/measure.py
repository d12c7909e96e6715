"""How a contender is measured: in a process of its own, by a clock around the work alone and by its largest memory."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Answer:
    """Results of a task.

    Attributes:
        rows: that it worked on.
        found: its results by name, for comparison with other contenders.
    """

    rows: int
    found: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """One run of one task.

    Attributes:
        seconds: of each round of the work, without imports and without reading what the driver prepared.
        peak_bytes: largest resident memory of the process up to the end of the first round, imports and all.
        versions: of the distributions that do the work.
    """

    seconds: list[float]
    peak_bytes: int
    rows: int
    found: Mapping[str, float]
    versions: Mapping[str, str]


class Clock:
    """Has the work done in rounds, and measures each: the body of a loop over `rounds()`.

    The first round finds a process in which nothing has run yet, the others one that is warm.

    Args:
        rounds: how many there are at least.
        least_s: how long they last together, at least. Short work is done more often.
    """

    def __init__(self, rounds: int, least_s: float = 0.0) -> None:
        self._rounds = rounds
        self._least_s = least_s
        self.seconds: list[float] = []
        self.peak_bytes = 0

    def rounds(self) -> Iterator[int]:
        while len(self.seconds) < self._rounds or sum(self.seconds) < self._least_s:
            start = time.perf_counter()
            yield len(self.seconds)
            self.seconds.append(time.perf_counter() - start)
            self.peak_bytes = self.peak_bytes or peak_bytes()


Task: TypeAlias = Callable[[Path, Path, Clock], Answer]
"""Reads from the first folder, writes into the second, and does its work in the rounds of the clock."""


def contend(tasks: Mapping[str, Task], *distributions: str) -> None:
    """The program of a contender: runs the task that the command line names and writes its measurement as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=tasks)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("measurement", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--least-s", type=float, default=0.0)
    options = parser.parse_args()
    clock = Clock(options.rounds, options.least_s)
    answer = tasks[options.task](options.inputs, options.scratch, clock)
    measured = Measurement(
        seconds=clock.seconds,
        peak_bytes=clock.peak_bytes,
        rows=answer.rows,
        found={name: float(value) for name, value in answer.found.items()},
        versions={name: version(name) for name in distributions},
    )
    options.measurement.write_text(json.dumps(asdict(measured)))


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux's `ru_maxrss` would begin with the memory of the process that started this one.
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def read_measurement(path: Path) -> Measurement:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return Measurement(**loaded)
