"""Metrics in Prometheus' text format, of all replicas of this machine together.

A request costs one append: 0.2 µs of the thread that answers it, and 0.7 to 3.4 µs of `flush`, which aggregates twice a
second. The alternatives cost that thread 15 µs and more; see docs/adr/0053-metrics-of-our-own.md.
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from athanor.cluster.haproxy.counts import read_door_counts
from athanor.contract.columns import Column, Columns, Kind
from athanor.errors import FieldViolation
from athanor.serving.answering.prepared import Answer
from athanor.serving.answering.variants import Variant
from athanor.serving.telemetry import metric_families as families
from athanor.serving.telemetry.buckets import is_number, scale_of_differences, scale_of_values
from athanor.serving.telemetry.metric_families import Family
from athanor.serving.telemetry.metric_snapshots import Key, Snapshot, SnapshotFolder, sum_totals

# Each begins with the model's name.
_Answered: TypeAlias = tuple[str, str, Variant, int, int, Columns]
_Refused: TypeAlias = tuple[str, str, str, int, Sequence[FieldViolation]]
_Shadowed: TypeAlias = tuple[str, Variant, Columns, Columns]

# The caller aggregates at once where so many entries wait, or where one entry is that large: `flush` may be held up by
# a slow disk, and what waits would keep the arrays of every answer alive. At most 8 MB for each column do.
_MAX_PENDING: Final = 4_096
_LARGE: Final = 256
_NANOSECONDS: Final = 1e9


class ModelGauges:
    """The gauges of one model of this replica.

    Attributes:
        name: of the model; empty for requests whose model is not known yet.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_closed = False
        self.revision = -1
        self.releases: set[tuple[str, str, str]] = set()
        # Appending and popping are atomic: one entry for each request in progress.
        self.open: list[None] = []

    @property
    def in_flight(self) -> int:
        return len(self.open)

    def read(self, replica: str) -> dict[Key, float]:
        """The gauges of its traffic; none before a release is loaded."""
        if not self.releases:
            return {}
        gauges: dict[Key, float] = {(families.REVISION.name, (self.name, replica)): self.revision}
        return gauges | {(families.RELEASE.name, (self.name, *release)): 1 for release in self.releases}


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
        self.unknown = ModelGauges("")
        self._models: tuple[ModelGauges, ...] = (self.unknown,)
        self._answers: deque[_Answered] = deque()
        self._refusals: deque[_Refused] = deque()
        self._shadows: deque[_Shadowed] = deque()
        # Models' names.
        self._shadow_drops: deque[str] = deque()
        self._redirected: deque[str] = deque()

    def open(self, name: str) -> ModelGauges:
        """Begin to count for a model. One that comes back goes on from its totals."""
        model = ModelGauges(name)
        with self._lock:
            self._models = (*self._models, model)
            for family in families.FROM_ZERO:
                self._count(family, (name,), 0)
        return model

    def leave(self, model: ModelGauges) -> None:
        """Drop a model's gauges; its requests in progress count until they end. Its totals stay: they never fall."""
        with self._lock:
            model.is_closed = True
            model.releases.clear()

    @property
    def in_flight(self) -> int:
        return sum(model.in_flight for model in self._models)

    def begun(self, model: ModelGauges) -> None:
        model.open.append(None)

    def identified(self, model: ModelGauges) -> None:
        """The model of a request is known now."""
        model.open.append(None)
        self.unknown.open.pop()

    def answered(self, model: ModelGauges, door: str, answer: Answer, duration_ns: int) -> None:
        model.open.pop()
        # Without the rows of the answer, which would take far more memory.
        self._answers.append((model.name, door, answer.variant, duration_ns, answer.count, answer.answers))
        if len(self._answers) >= _MAX_PENDING or answer.count >= _LARGE:
            self._aggregate()

    def refused(
        self, model: ModelGauges, door: str, code: str, duration_ns: int, violations: Sequence[FieldViolation]
    ) -> None:
        model.open.pop()
        self._refusals.append((model.name, door, code, duration_ns, violations))
        if len(self._refusals) >= _MAX_PENDING or len(violations) >= _LARGE:
            self._aggregate()

    def shadowed(self, model: ModelGauges, answered: Answer, shadow: Answer) -> None:
        """Count an answer of the shadow beside the one that the caller got for the same rows."""
        self._shadows.append((model.name, shadow.variant, answered.answers, shadow.answers))
        if len(self._shadows) >= _MAX_PENDING or shadow.count >= _LARGE:
            self._aggregate()

    def shadow_dropped(self, model: ModelGauges) -> None:
        # Without the lock: the thread that answers must not wait for it.
        self._shadow_drops.append(model.name)

    def redirected(self, model: ModelGauges) -> None:
        self._redirected.append(model.name)

    def loaded(
        self, model: ModelGauges, variant: str, semantic_version: str, digest: str, seconds: float, revision: int
    ) -> None:
        with self._lock:
            if revision != model.revision:
                model.releases.clear()
                model.revision = revision
            model.releases.add((variant, semantic_version, digest))
            self._observe(families.LOAD, (model.name, variant), np.array([seconds]))

    def load_failed(self, name: str) -> None:
        """Args: name: of the model, which may never have been loaded."""
        with self._lock:
            self._count(families.RELOAD_FAILURES, (name,), 1)

    def logged(self, name: str, rows: int, dropped: Mapping[str, int]) -> None:
        """Args: rows, dropped: totals of a model's prediction log since the start, the latter by reason."""
        with self._lock:
            self._totals[families.LOG_ROWS.name, (name,)] = [rows]
            for reason, count in dropped.items():
                self._totals[families.LOG_DROPPED.name, (name, reason)] = [count]

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
            self._models = tuple(model for model in self._models if model.in_flight or not model.is_closed)
            gauges: defaultdict[Key, float] = defaultdict(float, {(families.REPLICAS.name, ()): 1})
            for model in self._models:
                # One that left and one that came back may have one name for a while.
                gauges[families.IN_FLIGHT.name, (model.name,)] += model.in_flight
                gauges |= model.read(self._replica)
            return Snapshot({key: list(numbers) for key, numbers in self._totals.items()}, gauges)

    def _aggregate(self) -> None:
        with self._lock:
            self._aggregate_answers(_drain(self._answers))
            self._aggregate_refusals(_drain(self._refusals))
            self._aggregate_shadows(_drain(self._shadows))
            self._count_all(families.SHADOW_DROPPED, Counter((name,) for name in _drain(self._shadow_drops)))
            self._count_all(families.REDIRECTED, Counter((name,) for name in _drain(self._redirected)))

    def _aggregate_answers(self, answers: Sequence[_Answered]) -> None:
        requests: Counter[tuple[str, ...]] = Counter()
        rows: Counter[tuple[str, ...]] = Counter()
        durations: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        variants: dict[tuple[str, int], Variant] = {}
        found: defaultdict[tuple[str, int], list[Columns]] = defaultdict(list)
        for model, door, variant, duration_ns, count, columns in answers:
            at_door, by = (model, door), (model, id(variant))
            requests[model, door, "OK", variant.name, variant.semantic_version] += 1
            rows[at_door] += count
            durations[at_door].append(duration_ns)
            found[by].append(columns)
            variants[by] = variant
        self._count_all(families.REQUESTS, requests)
        self._count_all(families.ROWS, rows)
        self._observe_durations(durations)
        for (model, _), variant in variants.items():
            labels = model, variant.name, variant.semantic_version
            self._count_values(labels, variant.contract.answer, found[model, id(variant)])

    def _count_values(self, by: tuple[str, str, str], columns: Sequence[Column], parts: Sequence[Columns]) -> None:
        for column in columns:
            values = np.concatenate([part[column.name] for part in parts])
            labels = (*by, column.name)
            if is_number(column):
                self._observe(families.PREDICTION, (*labels, scale_of_values(column)), values)
            elif column.kind is Kind.BOOLEAN:
                trues = int(values.sum())
                self._count(families.CATEGORIES, (*labels, "true"), trues)
                self._count(families.CATEGORIES, (*labels, "false"), len(values) - trues)
            elif column.categories:
                counts = Counter(values.tolist())
                self._count_all(families.CATEGORIES, {(*labels, text): counts[text] for text in column.categories})

    def _aggregate_refusals(self, refusals: Sequence[_Refused]) -> None:
        durations: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        rules: Counter[tuple[str, ...]] = Counter()
        for model, door, code, duration_ns, violations in refusals:
            self._count(families.REQUESTS, (model, door, code, "", ""), 1)
            durations[model, door].append(duration_ns)
            rules.update((model, violation.rule) for violation in violations)
        self._observe_durations(durations)
        self._count_all(families.VIOLATIONS, rules)

    def _aggregate_shadows(self, shadows: Sequence[_Shadowed]) -> None:
        for model, variant, answered, answers in shadows:
            version, columns = variant.semantic_version, variant.contract.answer
            self._count(families.SHADOW_REQUESTS, (model, version), 1)
            self._count_values((model, "shadow", version), columns, [answers])
            for column in columns:
                if column.name in answered:
                    ours, theirs = answered[column.name], answers[column.name]
                    differences = np.abs(ours - theirs) if is_number(column) else (ours != theirs).astype(np.float64)
                    labels = (model, version, column.name, scale_of_differences(column))
                    self._observe(families.SHADOW_DIFFERENCE, labels, differences)

    def _count_all(self, family: Family, counts: Mapping[tuple[str, ...], float]) -> None:
        for labels, count in counts.items():
            self._count(family, labels, count)

    def _count(self, family: Family, labels: tuple[str, ...], count: float) -> None:
        self._totals.setdefault((family.name, labels), [0])[0] += count

    def _observe_durations(self, durations: Mapping[tuple[str, ...], Sequence[int]]) -> None:
        for labels, found in durations.items():
            self._observe(families.DURATION, labels, np.array(found) / _NANOSECONDS)

    def _observe(self, family: Family, labels: tuple[str, ...], values: NDArray[np.float64]) -> None:
        _, bounds = family.split(labels)
        buckets = len(bounds) + 1
        counts = np.bincount(np.searchsorted(bounds, values), minlength=buckets)
        known = self._totals.setdefault((family.name, labels), [0] * (buckets + 1))
        known[:] = [a + b for a, b in zip(known, (*counts.tolist(), float(values.sum())), strict=True)]


def _drain(queue: "deque[Any]") -> list[Any]:
    """Remove and return the entries present now; later ones stay for the next time."""
    return [queue.popleft() for _ in range(len(queue))]
