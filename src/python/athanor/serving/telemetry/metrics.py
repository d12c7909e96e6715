"""Metrics as Prometheus reads them, of all replicas of this machine together.

A request costs one append. All else is done twice a second by `flush`, many requests at a time. prometheus_client's
own way to join processes is not used: it wants a variable set before its first import, which Ray would obey too.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from athanor.errors import FieldViolation
from athanor.serving.telemetry.metric_families import (
    COUNTERS,
    DURATION,
    GAUGES,
    HISTOGRAMS,
    IN_FLIGHT,
    LOAD,
    LOG_DROPPED,
    LOG_ROWS,
    MODEL,
    PREDICTION,
    RELOAD_FAILURES,
    REPLICAS,
    REQUESTS,
    REVISION,
    ROWS,
    SHADOW_DIFFERENCE,
    SHADOW_DROPPED,
    SHADOW_REQUESTS,
    VIOLATIONS,
    Family,
    to_counter,
    to_gauge,
    to_histogram,
)
from athanor.serving.telemetry.metric_snapshots import Key, Snapshot, SnapshotFolder, add

Probabilities: TypeAlias = NDArray[np.float64]

ANSWERED: Final = "OK"
# Whoever counts faster than `flush` comes does its work.
_MOST_WAITING: Final = 16_384
_NANOSECONDS: Final = 1e9


class Answered(Protocol):
    """What a shadow's answer is compared with.

    Attributes:
        probabilities: that were sent; None as long as none were.
    """

    probabilities: Probabilities | None


class Metrics:
    """Counts for this replica, and tells of all."""

    def __init__(self, folder: Path, replica: str) -> None:
        """Begins to count.

        Args:
            folder: where the replicas of this machine keep what they have counted.
            replica: names this one.
        """
        self._folder = SnapshotFolder(folder)
        self._replica = replica
        self._lock = threading.Lock()
        self._totals: dict[Key, list[float]] = {}
        self._revision = -1
        self._models: set[Key] = set()
        # Appending and popping are atomic: one entry for each request that is being answered.
        self._open: list[None] = []
        self._answers: deque[tuple[str, str, str, int, Probabilities]] = deque()
        self._refusals: deque[tuple[str, str, int, Sequence[FieldViolation]]] = deque()
        self._shadows: deque[tuple[str, Answered, Probabilities]] = deque()
        self._shadow_drops: deque[None] = deque()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_AllReplicas(self))

    def begun(self) -> None:
        self._open.append(None)

    def answered(
        self, door: str, variant: str, semantic_version: str, duration_ns: int, probabilities: Probabilities
    ) -> None:
        self._open.pop()
        self._answers.append((door, variant, semantic_version, duration_ns, probabilities))
        if len(self._answers) >= _MOST_WAITING:
            self._take_in()

    def refused(self, door: str, code: str, duration_ns: int, violations: Sequence[FieldViolation]) -> None:
        self._open.pop()
        self._refusals.append((door, code, duration_ns, violations))
        if len(self._refusals) >= _MOST_WAITING:
            self._take_in()

    def shadowed(self, semantic_version: str, answered: Answered, probabilities: Probabilities) -> None:
        self._shadows.append((semantic_version, answered, probabilities))
        if len(self._shadows) >= _MOST_WAITING:
            self._take_in()

    def shadow_dropped(self) -> None:
        # Without the lock: whoever answers must not wait for it.
        self._shadow_drops.append(None)

    def loaded(self, variant: str, semantic_version: str, digest: str, seconds: float, revision: int) -> None:
        with self._lock:
            if revision != self._revision:
                self._models.clear()
                self._revision = revision
            self._models.add((MODEL.name, (variant, semantic_version, digest)))
            self._observe(LOAD, (variant,), np.array([seconds]))

    def load_failed(self) -> None:
        with self._lock:
            self._count(RELOAD_FAILURES, (), 1)

    def logged(self, rows: int, dropped: Mapping[str, int]) -> None:
        """Args: rows, dropped: of the prediction log since its start, the latter by reason."""
        with self._lock:
            self._totals[LOG_ROWS.name, ()] = [rows]
            for reason, count in dropped.items():
                self._totals[LOG_DROPPED.name, (reason,)] = [count]

    def flush(self) -> None:
        """Lets the other replicas know. Raises OSError where it cannot be written; nothing is lost then."""
        self._take_in()
        self._folder.write(self._snapshot())

    def render(self) -> tuple[bytes, str]:
        """All that the replicas of this machine have counted, and the media type of that."""
        self._take_in()
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._folder.close()

    def collect(self) -> Iterator[Metric]:
        """The metrics of all replicas, in the order of their names."""
        own = self._snapshot()
        living, gone = self._folder.read_others()
        totals = add([own, *living, *gone])
        gauges: Counter[Key] = Counter()
        for snapshot in (own, *living):
            gauges.update(snapshot.gauges)
        for family in COUNTERS:
            yield to_counter(family, totals)
        for family in HISTOGRAMS:
            yield to_histogram(family, totals)
        for family in GAUGES:
            yield to_gauge(family, gauges)

    def _snapshot(self) -> Snapshot:
        with self._lock:
            gauges: dict[Key, float] = {(IN_FLIGHT.name, ()): len(self._open), (REPLICAS.name, ()): 1}
            gauges |= dict.fromkeys(self._models, 1)
            if self._models:
                gauges[REVISION.name, (self._replica,)] = self._revision
            return Snapshot({key: list(numbers) for key, numbers in self._totals.items()}, gauges)

    def _take_in(self) -> None:
        with self._lock:
            self._take_in_answers(_drain(self._answers))
            self._take_in_refusals(_drain(self._refusals))
            self._take_in_shadows(_drain(self._shadows))
            self._count(SHADOW_DROPPED, (), len(_drain(self._shadow_drops)))

    def _take_in_answers(self, answers: Sequence[tuple[str, str, str, int, Probabilities]]) -> None:
        requests: Counter[tuple[str, str, str]] = Counter()
        rows: Counter[str] = Counter()
        durations: dict[str, list[int]] = {}
        predictions: dict[tuple[str, str], list[Probabilities]] = {}
        for door, variant, semantic_version, duration_ns, probabilities in answers:
            requests[door, variant, semantic_version] += 1
            rows[door] += len(probabilities)
            durations.setdefault(door, []).append(duration_ns)
            predictions.setdefault((variant, semantic_version), []).append(probabilities)
        for (door, *version), count in requests.items():
            self._count(REQUESTS, (door, ANSWERED, *version), count)
        for door, count in rows.items():
            self._count(ROWS, (door,), count)
        self._observe_durations(durations)
        for labels, found in predictions.items():
            self._observe(PREDICTION, labels, np.concatenate(found))

    def _take_in_refusals(self, refusals: Sequence[tuple[str, str, int, Sequence[FieldViolation]]]) -> None:
        durations: dict[str, list[int]] = {}
        rules: Counter[str] = Counter()
        for door, code, duration_ns, violations in refusals:
            self._count(REQUESTS, (door, code, "", ""), 1)
            durations.setdefault(door, []).append(duration_ns)
            rules.update(violation.rule for violation in violations)
        self._observe_durations(durations)
        for rule, count in rules.items():
            self._count(VIOLATIONS, (rule,), count)

    def _take_in_shadows(self, shadows: Sequence[tuple[str, Answered, Probabilities]]) -> None:
        for semantic_version, answered, probabilities in shadows:
            if answered.probabilities is None:
                # It was quicker than what it is compared with; that comes.
                self._shadows.append((semantic_version, answered, probabilities))
                continue
            labels = (semantic_version,)
            self._count(SHADOW_REQUESTS, labels, 1)
            self._observe(PREDICTION, ("shadow", semantic_version), probabilities)
            # What was refused was answered by nothing.
            if len(answered.probabilities) == len(probabilities):
                self._observe(SHADOW_DIFFERENCE, labels, np.abs(answered.probabilities - probabilities))

    def _count(self, family: Family, labels: tuple[str, ...], count: float) -> None:
        self._totals.setdefault((family.name, labels), [0])[0] += count

    def _observe_durations(self, durations: Mapping[str, Sequence[int]]) -> None:
        for door, found in durations.items():
            self._observe(DURATION, (door,), np.array(found) / _NANOSECONDS)

    def _observe(self, family: Family, labels: tuple[str, ...], values: NDArray[np.float64]) -> None:
        buckets = len(family.bounds) + 1
        counts = np.bincount(np.searchsorted(family.bounds, values), minlength=buckets)
        known = self._totals.setdefault((family.name, labels), [0] * (buckets + 1))
        known[:] = [a + b for a, b in zip(known, (*counts.tolist(), float(values.sum())), strict=True)]


class _AllReplicas(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.collect()


def _drain(queue: "deque[Any]") -> list[Any]:
    """What is there now; what comes meanwhile stays for the next time."""
    return [queue.popleft() for _ in range(len(queue))]
