"""The metrics of a service, and their form for Prometheus."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from athanor.serving.telemetry.buckets import bounds_of_differences, bounds_of_values
from athanor.serving.telemetry.metric_snapshots import Key


@dataclass(frozen=True)
class Family:
    """A metric.

    Attributes:
        bounds: a histogram's largest value in each bucket. The last bucket, which has none, is implied.
        bounds_of: the same of a histogram whose buckets depend on its scale, which its keys have behind the labels.
    """

    name: str
    description: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    bounds_of: Callable[[str], tuple[float, ...]] | None = None

    def split(self, key: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """The labels in a key of a histogram, and its bounds."""
        return (key, self.bounds) if self.bounds_of is None else (key[:-1], self.bounds_of(key[-1]))


_MODEL: Final = ("model",)
_VERSION: Final = ("variant", "semantic_version")

REQUESTS: Final = Family(
    "athanor_requests_total",
    "Requests by door and code; OK means answered. The model is empty where it was never known.",
    ("model", "door", "code", *_VERSION),
)
ROWS: Final = Family("athanor_rows_total", "Rows answered.", ("model", "door"))
VIOLATIONS: Final = Family(
    "athanor_violations_total",
    "Values or answers that broke the contract, or made the model fail, by rule.",
    ("model", "rule"),
)
CATEGORIES: Final = Family(
    "athanor_prediction_categories_total",
    "Rows by the category, or truth value, that was answered in a column of the prediction.",
    ("model", *_VERSION, "column", "value"),
)
SHADOW_REQUESTS: Final = Family(
    "athanor_shadow_requests_total", "Requests that the shadow answered too.", ("model", "semantic_version")
)
SHADOW_DROPPED: Final = Family(
    "athanor_shadow_dropped_total", "Requests without an answer of the shadow: it fell behind, or failed.", _MODEL
)
REDIRECTED: Final = Family(
    "athanor_redirected_requests_total",
    "Requests that another version answered than traffic chose, whose contract does not allow their rows.",
    _MODEL,
)
RELOAD_FAILURES: Final = Family(
    "athanor_traffic_reload_failures_total",
    "Traffic files that could not be loaded; the previous one stays in force.",
    _MODEL,
)
LOG_ROWS: Final = Family("athanor_prediction_log_rows_total", "Rows written to the prediction log.", _MODEL)
LOG_DROPPED: Final = Family(
    "athanor_prediction_log_dropped_total", "Rows dropped by the prediction log, by reason.", ("model", "reason")
)
DOOR_REFUSED: Final = Family(
    "athanor_door_refused_total",
    "Connections and requests that HAProxy refused, by door and reason.",
    ("door", "reason"),
)
COUNTERS: Final = (
    REQUESTS,
    ROWS,
    VIOLATIONS,
    CATEGORIES,
    SHADOW_REQUESTS,
    SHADOW_DROPPED,
    REDIRECTED,
    RELOAD_FAILURES,
    LOG_ROWS,
    LOG_DROPPED,
    DOOR_REFUSED,
)
# Zero from a model's start, so that an increase can be seen.
FROM_ZERO: Final = tuple(family for family in COUNTERS if family.labels == _MODEL)

DURATION: Final = Family(
    "athanor_request_duration_seconds",
    "Seconds from a request's arrival at its door to the answer or refusal.",
    ("model", "door"),
    (0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PREDICTION: Final = Family(
    "athanor_prediction",
    "Answered numbers, by column of the prediction.",
    ("model", *_VERSION, "column"),
    bounds_of=bounds_of_values,
)
SHADOW_DIFFERENCE: Final = Family(
    "athanor_shadow_difference",
    "Absolute difference between the shadow's value of a column and the answered one; 1 for another category.",
    ("model", "semantic_version", "column"),
    bounds_of=bounds_of_differences,
)
LOAD: Final = Family(
    "athanor_model_load_seconds",
    "Seconds from noticing a traffic file until its releases answer.",
    ("model", "variant"),
    (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
HISTOGRAMS: Final = (DURATION, PREDICTION, SHADOW_DIFFERENCE, LOAD)

IN_FLIGHT: Final = Family("athanor_requests_in_flight", "Requests in progress.", _MODEL)
REPLICAS: Final = Family("athanor_replicas", "Live replicas on this machine.")
REVISION: Final = Family(
    "athanor_traffic_revision", "Traffic file revision that a replica answers by.", ("model", "replica")
)
RELEASE: Final = Family("athanor_model_info", "Replicas with this release loaded.", ("model", *_VERSION, "digest"))
DOOR_CONNECTIONS: Final = Family("athanor_door_connections", "Open connections of callers, by door.", ("door",))
GAUGES: Final = (IN_FLIGHT, REPLICAS, REVISION, RELEASE, DOOR_CONNECTIONS)


def to_metrics(totals: Mapping[Key, Sequence[float]], gauges: Mapping[Key, float]) -> Iterator[Metric]:
    """All metrics, in the form that Prometheus' client renders."""
    for family in COUNTERS:
        yield _to_counter(family, totals)
    for family in HISTOGRAMS:
        yield _to_histogram(family, totals)
    for family in GAUGES:
        yield _to_gauge(family, gauges)


def _to_counter(family: Family, totals: Mapping[Key, Sequence[float]]) -> Metric:
    metric = CounterMetricFamily(family.name, family.description, labels=family.labels)
    for labels, (total,) in _select(family, totals):
        metric.add_metric(labels, total)
    return metric


def _to_histogram(family: Family, totals: Mapping[Key, Sequence[float]]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.description, labels=family.labels)
    for key, (*counts, total) in _select(family, totals):
        labels, bounds = family.split(key)
        ends = [*map(floatToGoString, bounds), "+Inf"]
        metric.add_metric(labels, list(zip(ends, np.cumsum(counts).tolist(), strict=True)), total)
    return metric


def _to_gauge(family: Family, gauges: Mapping[Key, float]) -> Metric:
    metric = GaugeMetricFamily(family.name, family.description, labels=family.labels)
    for labels, value in _select(family, gauges):
        metric.add_metric(labels, value)
    return metric


def _select(family: Family, found: Mapping[Key, Any]) -> list[tuple[tuple[str, ...], Any]]:
    """The values of a family by their labels, in a stable order."""
    # Totals of an earlier Athanor may have had other labels.
    length = len(family.labels) + (family.bounds_of is not None)
    return sorted((key, value) for (name, key), value in found.items() if name == family.name and len(key) == length)
