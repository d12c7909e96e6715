"""Metrics in Prometheus' text format, of all replicas of this machine together.

A request costs one append: 0.2 µs of the thread that answers it, and 0.7 to 3.4 µs of `flush`, which aggregates twice a
second. The alternatives cost that thread 15 µs and more; see docs/adr/0053-metrics-of-our-own.md.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from athanor.cluster.haproxy.counts import read_door_counts
from athanor.errors import FieldViolation
from athanor.serving.telemetry import metric_families as families
from athanor.serving.telemetry.metric_families import Family
from athanor.serving.telemetry.metric_snapshots import Key, Snapshot, SnapshotFolder, sum_totals

Probabilities: TypeAlias = NDArray[np.float64]

# The caller aggregates at once where so many entries wait, or where one entry is that large: `flush` may be held up by
# a slow disk, and what waits would keep the arrays of every answer alive. At most 8 MB do.
_MAX_PENDING: Final = 4_096
_LARGE: Final = 256
_NANOSECONDS: Final = 1e9


class Metrics(Collector):
    """Counts for this replica, and reports for all."""

    def __init__(self, folder: Path, replica: str) -> None:
        """Start counting.

        Args:
            folder: where the replicas of this machine share their counts.
            replica: name of this one.
        """
        self._folder = SnapshotFolder(folder)
        self._replica = replica
        self._lock = threading.Lock()
        self._totals: dict[Key, list[float]] = {}
        self._revision = -1
        self._models: set[Key] = set()
        # Appending and popping are atomic: one entry for each request in progress.
        self._open: list[None] = []
        self._answers: deque[tuple[str, str, str, int, Probabilities]] = deque()
        self._refusals: deque[tuple[str, str, int, Sequence[FieldViolation]]] = deque()
        self._shadows: deque[tuple[str, Probabilities, Probabilities]] = deque()
        self._shadow_drops: deque[None] = deque()
        self._redirected: deque[None] = deque()

    @property
    def in_flight(self) -> int:
        return len(self._open)

    def begun(self) -> None:
        self._open.append(None)

    def answered(
        self, door: str, variant: str, semantic_version: str, duration_ns: int, probabilities: Probabilities
    ) -> None:
        self._open.pop()
        self._answers.append((door, variant, semantic_version, duration_ns, probabilities))
        if len(self._answers) >= _MAX_PENDING or len(probabilities) >= _LARGE:
            self._aggregate()

    def refused(self, door: str, code: str, duration_ns: int, violations: Sequence[FieldViolation]) -> None:
        self._open.pop()
        self._refusals.append((door, code, duration_ns, violations))
        if len(self._refusals) >= _MAX_PENDING or len(violations) >= _LARGE:
            self._aggregate()

    def shadowed(self, semantic_version: str, answered: Probabilities, probabilities: Probabilities) -> None:
        """Count an answer of the shadow.

        Args:
            answered: sent to the caller for the same rows.
            probabilities: the shadow's.
        """
        self._shadows.append((semantic_version, answered, probabilities))
        if len(self._shadows) >= _MAX_PENDING or len(probabilities) >= _LARGE:
            self._aggregate()

    def shadow_dropped(self) -> None:
        # Without the lock: the thread that answers must not wait for it.
        self._shadow_drops.append(None)

    def redirected(self) -> None:
        self._redirected.append(None)

    def loaded(self, variant: str, semantic_version: str, digest: str, seconds: float, revision: int) -> None:
        with self._lock:
            if revision != self._revision:
                self._models.clear()
                self._revision = revision
            self._models.add((families.MODEL.name, (variant, semantic_version, digest)))
            self._observe(families.LOAD, (variant,), np.array([seconds]))

    def load_failed(self) -> None:
        with self._lock:
            self._count(families.RELOAD_FAILURES, (), 1)

    def logged(self, rows: int, dropped: Mapping[str, int]) -> None:
        """Args: rows, dropped: totals of the prediction log since its start, the latter by reason."""
        with self._lock:
            self._totals[families.LOG_ROWS.name, ()] = [rows]
            for reason, count in dropped.items():
                self._totals[families.LOG_DROPPED.name, (reason,)] = [count]

    def flush(self) -> None:
        """Share the counts with the other replicas. Raises OSError if they cannot be written; nothing is lost then."""
        self._aggregate()
        self._folder.write(self._snapshot())

    def render(self) -> tuple[bytes, str]:
        """The metrics of all replicas of this machine, and their media type."""
        self._aggregate()
        return generate_latest(self), CONTENT_TYPE_PLAIN_0_0_4

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._folder.close()

    def collect(self) -> Iterator[Metric]:
        own = self._snapshot()
        living, gone = self._folder.read_others()
        gauges: Counter[Key] = Counter()
        for snapshot in (own, *living):
            gauges.update(snapshot.gauges)
        doors = read_door_counts()
        gauges.update({(families.DOOR_CONNECTIONS.name, (door,)): count for door, count in doors.connections.items()})
        totals = sum_totals([own, *living, *gone])
        totals |= {(families.DOOR_REFUSED.name, labels): [count] for labels, count in doors.refused.items()}
        return families.to_metrics(totals, gauges)

    def _snapshot(self) -> Snapshot:
        with self._lock:
            gauges: dict[Key, float] = {(families.IN_FLIGHT.name, ()): self.in_flight, (families.REPLICAS.name, ()): 1}
            gauges |= dict.fromkeys(self._models, 1)
            if self._models:
                gauges[families.REVISION.name, (self._replica,)] = self._revision
            return Snapshot({key: list(numbers) for key, numbers in self._totals.items()}, gauges)

    def _aggregate(self) -> None:
        with self._lock:
            self._aggregate_answers(_drain(self._answers))
            self._aggregate_refusals(_drain(self._refusals))
            self._aggregate_shadows(_drain(self._shadows))
            self._count(families.SHADOW_DROPPED, (), len(_drain(self._shadow_drops)))
            self._count(families.REDIRECTED, (), len(_drain(self._redirected)))

    def _aggregate_answers(self, answers: Sequence[tuple[str, str, str, int, Probabilities]]) -> None:
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
            self._count(families.REQUESTS, (door, "OK", *version), count)
        for door, count in rows.items():
            self._count(families.ROWS, (door,), count)
        self._observe_durations(durations)
        for labels, found in predictions.items():
            self._observe(families.PREDICTION, labels, np.concatenate(found))

    def _aggregate_refusals(self, refusals: Sequence[tuple[str, str, int, Sequence[FieldViolation]]]) -> None:
        durations: dict[str, list[int]] = {}
        rules: Counter[str] = Counter()
        for door, code, duration_ns, violations in refusals:
            self._count(families.REQUESTS, (door, code, "", ""), 1)
            durations.setdefault(door, []).append(duration_ns)
            rules.update(violation.rule for violation in violations)
        self._observe_durations(durations)
        for rule, count in rules.items():
            self._count(families.VIOLATIONS, (rule,), count)

    def _aggregate_shadows(self, shadows: Sequence[tuple[str, Probabilities, Probabilities]]) -> None:
        for semantic_version, answered, probabilities in shadows:
            self._count(families.SHADOW_REQUESTS, (semantic_version,), 1)
            self._observe(families.PREDICTION, ("shadow", semantic_version), probabilities)
            self._observe(families.SHADOW_DIFFERENCE, (semantic_version,), np.abs(answered - probabilities))

    def _count(self, family: Family, labels: tuple[str, ...], count: float) -> None:
        self._totals.setdefault((family.name, labels), [0])[0] += count

    def _observe_durations(self, durations: Mapping[str, Sequence[int]]) -> None:
        for door, found in durations.items():
            self._observe(families.DURATION, (door,), np.array(found) / _NANOSECONDS)

    def _observe(self, family: Family, labels: tuple[str, ...], values: NDArray[np.float64]) -> None:
        buckets = len(family.bounds) + 1
        counts = np.bincount(np.searchsorted(family.bounds, values), minlength=buckets)
        known = self._totals.setdefault((family.name, labels), [0] * (buckets + 1))
        known[:] = [a + b for a, b in zip(known, (*counts.tolist(), float(values.sum())), strict=True)]


def _drain(queue: "deque[Any]") -> list[Any]:
    """Remove and return the entries present now; later ones stay for the next time."""
    return [queue.popleft() for _ in range(len(queue))]
