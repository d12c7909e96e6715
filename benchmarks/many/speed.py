"""Single rows over typed gRPC: of one model beside others, and spread over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from many.processes import read_cpu_s
from many.services import Site

from serving.comparison.load import Answered, press_many
from suite.goals import Comparison, Goal

_CALLERS: Final = 32


@dataclass(frozen=True)
class Turn:
    """One lane of one turn.

    Attributes:
        cpu_us: processor time of the replica for a request. Other work on the machine changes it little.
    """

    answered: Answered
    cpu_us: float

    def quantile_ms(self, share: float) -> float:
        return self.answered.quantile_s(share) * 1e3


@dataclass(frozen=True)
class _Figure:
    name: str
    read: Callable[[Turn], float]
    wanted: float
    comparison: Comparison = Comparison.AT_MOST
    unit: str = ""


_ALONE: Final = (
    _Figure("p50", lambda turn: turn.quantile_ms(0.5), 1.1, unit="ms"),
    _Figure("p99", lambda turn: turn.quantile_ms(0.99), 1.1, unit="ms"),
    _Figure("processor time of a request", lambda turn: turn.cpu_us, 1.1, unit="µs"),
)
_TOGETHER: Final = (
    _Figure("requests/s", lambda turn: turn.answered.per_s, 0.9, Comparison.AT_LEAST),
    _Figure("processor time of a request", lambda turn: turn.cpu_us, 1.1, unit="µs"),
)


def measure_speed(one: Site, many: Site, folder: Path, turns: int, seconds: float) -> Iterator[Goal]:
    """Measures the lanes in turns. The ratios of each turn count: other load affects its lanes alike."""
    targets = {site.pid: site.target(folder) for site in (one, many)}

    def press(site: Site, others: Sequence[str], callers: int) -> Turn:
        before = read_cpu_s(site.pid)
        answered = press_many(targets[site.pid], others, callers, seconds, site.header)
        return Turn(answered, (read_cpu_s(site.pid) - before) / len(answered.latencies_s) * 1e6)

    lanes: dict[str, tuple[Site, Sequence[str]]] = {
        "alone": (one, ()),
        "of one model beside others": (many, ()),
        "over all models": (many, many.urls[1:]),
    }
    for callers, figures, words in ((1, _ALONE, "one caller"), (_CALLERS, _TOGETHER, f"{_CALLERS} callers")):
        found = [{name: press(*lane, callers) for name, lane in lanes.items()} for _ in range(turns)]
        for lane in [*lanes][1:]:
            yield from (_compare(found, lane, figure, words) for figure in figures)


def _compare(found: Sequence[Mapping[str, Turn]], lane: str, figure: _Figure, callers: str) -> Goal:
    ratio = median(figure.read(turn[lane]) / figure.read(turn["alone"]) for turn in found)
    shown = " and ".join(f"{median(figure.read(turn[each]) for turn in found):,.2f}" for each in ("alone", lane))
    name = f"{figure.name} {lane}, {callers}, against one model"
    return Goal(name, ratio, figure.wanted, figure.comparison, "", f"{shown} {figure.unit}".strip())
