"""The metrics that a service has, and how they are told to Prometheus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from athanor.serving.telemetry.metric_snapshots import Key


@dataclass(frozen=True)
class Family:
    """A metric.

    Attributes:
        bounds: of a histogram, the largest value of each bucket. One more bucket, without a bound, is implied.
    """

    name: str
    description: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


VERSION: Final = ("variant", "semantic_version")

REQUESTS: Final = Family(
    "athanor_requests_total", "Requests by door and code; OK are answered.", ("door", "code", *VERSION)
)
ROWS: Final = Family("athanor_rows_total", "Rows that were answered.", ("door",))
VIOLATIONS: Final = Family("athanor_violations_total", "Values that break the contract, by rule.", ("rule",))
SHADOW_REQUESTS: Final = Family(
    "athanor_shadow_requests_total", "Requests that the shadow was asked too.", ("semantic_version",)
)
SHADOW_DROPPED: Final = Family("athanor_shadow_dropped_total", "Requests that the shadow had no time for.")
RELOAD_FAILURES: Final = Family(
    "athanor_traffic_reload_failures_total", "Traffic files that were not followed; the last one before stays."
)
LOG_ROWS: Final = Family("athanor_prediction_log_rows_total", "Rows written to the prediction log.")
LOG_DROPPED: Final = Family(
    "athanor_prediction_log_dropped_total", "Rows that the prediction log left out, by reason.", ("reason",)
)
COUNTERS: Final = (
    REQUESTS,
    ROWS,
    VIOLATIONS,
    SHADOW_REQUESTS,
    SHADOW_DROPPED,
    RELOAD_FAILURES,
    LOG_ROWS,
    LOG_DROPPED,
)

DURATION: Final = Family(
    "athanor_request_duration_seconds",
    "From a request's arrival at the door to its answer, by door; refused ones too.",
    ("door",),
    (0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PREDICTION: Final = Family(
    "athanor_prediction", "Predicted probabilities.", VERSION, tuple(round(i / 20, 2) for i in range(1, 21))
)
SHADOW_DIFFERENCE: Final = Family(
    "athanor_shadow_difference",
    "How far the shadow's probability is from the one that was answered.",
    ("semantic_version",),
    (0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
)
LOAD: Final = Family(
    "athanor_model_load_seconds",
    "From the sight of a traffic file until its models answer.",
    ("variant",),
    (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
HISTOGRAMS: Final = (DURATION, PREDICTION, SHADOW_DIFFERENCE, LOAD)

IN_FLIGHT: Final = Family("athanor_requests_in_flight", "Requests that are being answered.")
REPLICAS: Final = Family("athanor_replicas", "Replicas of this machine that live.")
REVISION: Final = Family(
    "athanor_traffic_revision", "Revision of the traffic file that a replica answers by.", ("replica",)
)
MODEL: Final = Family("athanor_model_info", "Replicas that have this release loaded.", (*VERSION, "digest"))
GAUGES: Final = (IN_FLIGHT, REPLICAS, REVISION, MODEL)


def _of(family: Family, found: Mapping[Key, Any]) -> list[tuple[tuple[str, ...], Any]]:
    return sorted((labels, value) for (name, labels), value in found.items() if name == family.name)


def to_counter(family: Family, totals: Mapping[Key, Sequence[float]]) -> Metric:
    metric = CounterMetricFamily(family.name, family.description, labels=family.labels)
    for labels, (total,) in _of(family, totals) or ([((), (0,))] if not family.labels else []):
        metric.add_metric(labels, total)
    return metric


def to_gauge(family: Family, gauges: Mapping[Key, float]) -> Metric:
    metric = GaugeMetricFamily(family.name, family.description, labels=family.labels)
    for labels, value in _of(family, gauges):
        metric.add_metric(labels, value)
    return metric


def to_histogram(family: Family, totals: Mapping[Key, Sequence[float]]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.description, labels=family.labels)
    ends = [*map(floatToGoString, family.bounds), "+Inf"]
    for labels, (*counts, total) in _of(family, totals):
        metric.add_metric(labels, list(zip(ends, np.cumsum(counts).tolist(), strict=True)), total)
    return metric
