"""Goals for the figures of a run."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from serving.comparison.contenders import ATHANOR, BARE, Kind
from serving.comparison.doors import TENSORS, TYPED_GRPC
from serving.comparison.measure import Alone, Turn
from serving.comparison.scenarios import DEFAULTS, OFF, ON, SHADOW
from suite.goals import Comparison, Goal

OURS: Final = f"{ATHANOR.name}, {TYPED_GRPC.name}"
OURS_TENSORS: Final = f"{ATHANOR.name}, {TENSORS.name}"


@dataclass(frozen=True)
class Results:
    """All that a run has measured; in turns, of which each measured everything once.

    Attributes:
        turns: by lane.
        kinds: of the lanes.
        alone: the core in process, one for each turn.
    """

    turns: Mapping[str, Sequence[Turn]]
    kinds: Mapping[str, Kind]
    alone: Sequence[Alone]

    def names(self, *kinds: Kind) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind in kinds]


def evaluate(results: Results) -> Iterator[Goal]:
    """Each goal whose lanes were measured."""
    peers = results.names(Kind.AS_INSTALLED, Kind.TUNED)
    if OURS in results.turns:
        yield from _measure_peers(results, peers)
        yield from _measure_limits(results)
    yield from _measure_options(results)


def _measure_peers(results: Results, peers: list[str]) -> Iterator[Goal]:
    """The best peer is found anew for each figure, and in each turn."""
    installed = results.names(Kind.AS_INSTALLED)
    if peers:
        words = "single-row requests/s, typed gRPC, against the best peer at its best settings"
        yield _compare(results, words, OURS, peers, _per_s, max, 4.0)
    if installed:
        words = "single-row requests/s, typed gRPC, against the best peer as installed"
        yield _compare(results, words, OURS, installed, _per_s, max, 6.0)
    if peers:
        words = "median latency at concurrency 1, typed gRPC, against the best peer"
        yield _compare(results, words, OURS, peers, _median_s, min, 0.4)
        words = "rows/s in batches of 1,000, typed gRPC, against the best peer"
        yield _compare(results, words, OURS, peers, _rows_per_s, max, 3.0)


def _measure_limits(results: Results) -> Iterator[Goal]:
    if BARE.name in results.turns:
        words = "single-row requests/s, typed gRPC, against a bare grpc.aio server around our core"
        yield _compare(results, words, OURS, [BARE.name], _per_s, max, 0.6)
    tail = median(turn.paced_p99_s / turn.paced_median_s for turn in results.turns[OURS])
    words = "99th percentile at half of the top throughput, typed gRPC, against its own median"
    yield Goal(words, tail, 5.0, Comparison.AT_MOST, against="its own median")
    if results.alone:
        pairs = zip(results.turns[OURS_TENSORS], results.alone, strict=True)
        share = median(turn.rows_per_s / core.columns_rows_per_s for turn, core in pairs)
        words = "rows/s in batches of 1,000, OIP raw tensors, against the core in process"
        yield Goal(words, share, 0.85, Comparison.AT_LEAST, against="the core, from columns")


def _measure_options(results: Results) -> Iterator[Goal]:
    if {ON.name, OFF.name} <= results.turns.keys():
        words = "single-row requests/s with all telemetry on, against off"
        yield _compare(results, words, ON.name, [OFF.name], _per_s, max, 0.9)
    if {SHADOW.name, DEFAULTS.name} <= results.turns.keys():
        words = "median latency at concurrency 1 with a shadow, against none"
        yield _compare(results, words, SHADOW.name, [DEFAULTS.name], _median_s, min, 1.05)


_per_s: Final = operator.attrgetter("per_s")
_median_s: Final = operator.attrgetter("median_s")
_rows_per_s: Final = operator.attrgetter("rows_per_s")


def _compare(
    results: Results,
    name: str,
    ours: str,
    others: Sequence[str],
    figure: Callable[[Turn], float],
    best: Callable[..., tuple[float, str]],
    limit: float,
) -> Goal:
    """Ours over the best of the others, turn by turn, so that other load of the machine affects both."""
    found = [
        best((figure(results.turns[other][turn]), other) for other in others)
        for turn in range(len(results.turns[ours]))
    ]
    ratios = [figure(mine) / theirs for mine, (theirs, _) in zip(results.turns[ours], found, strict=True)]
    winners = [winner for _, winner in found]
    comparison = Comparison.AT_LEAST if best is max else Comparison.AT_MOST
    return Goal(name, median(ratios), limit, comparison, against=max(sorted(set(winners)), key=winners.count))
