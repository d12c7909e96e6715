import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow.dataset as ds
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.answers import make_answer, make_variant
from support.collector import Collector, collecting
from support.flights import make_columns

from athanor.errors import FieldViolation, InvalidRequestError, ServiceError, SettingsError
from athanor.serving.answering.batching.batcher import Computed
from athanor.serving.setup.paths import ServicePaths
from athanor.serving.setup.settings import ServingSettings, make_settings
from athanor.serving.telemetry.model import ModelTelemetry
from athanor.serving.telemetry.observation import Observation
from athanor.serving.telemetry.telemetry import Telemetry
from projects.delays.model import MODEL

_TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
_SAMPLED: Final = f"00-{_TRACE}-b7ad6b7169203331-01"
_UNSAMPLED: Final = f"00-{_TRACE}-b7ad6b7169203331-00"
_COLUMNS: Final = make_columns(3)
_PROBABILITIES: Final = np.array([0.1, 0.2, 0.3])


@pytest.fixture(autouse=True)
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        yield collector


def make(folder: Path, **ratios: float) -> ServingSettings:
    """Settings with everything on, and all of it sampled except for the given ratios."""
    names = ("trace_ratio", "access_log_ratio", "prediction_log_ratio")
    return make_settings(
        service="delays",
        models=("delays",),
        store=folder / "store",
        folder=folder / "service",
        prediction_log=folder / "predictions",
        **{**dict.fromkeys(names, 1.0), **ratios},
    )


class Started(NamedTuple):
    """The telemetry of a replica, and of its model."""

    telemetry: Telemetry
    model: ModelTelemetry

    def begin(self, door: str, request_id: str, traceparent: str | None = None) -> Observation:
        return self.telemetry.begin(door, request_id, traceparent, self.model)

    def close(self) -> None:
        self.telemetry.close()


def start(settings: ServingSettings) -> Started:
    telemetry = Telemetry(settings)
    return Started(telemetry, telemetry.model(MODEL.contract))


_ANSWER: Final = make_answer(_PROBABILITIES, make_variant("champion", "1.2.3", "d1"), _COLUMNS)


def answer(observation: Observation) -> None:
    now = time.time_ns()
    observation.answered(Computed(_ANSWER, now - 2_000, now - 1_000))


def log_lines(settings: ServingSettings) -> list[dict[str, Any]]:
    path = ServicePaths.of(settings).log
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def predictions(settings: ServingSettings) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ds.dataset(settings.prediction_log, format="parquet").to_table().to_pylist()
    return found


def value(started: Started, name: str, **labels: str) -> float:
    content, _ = started.telemetry.render_metrics()
    samples = [s for family in text_string_to_metric_families(content.decode()) for s in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def test_an_answer_is_counted_traced_and_logged_under_one_request_and_trace_id(
    tmp_path: Path, collector: Collector
) -> None:
    settings = make(tmp_path)
    started = start(settings)
    observation = started.begin("grpc", "r-1", _SAMPLED)
    assert observation.trace_id == _TRACE
    answer(observation)
    assert value(started, "athanor_requests_total", door="grpc", code="OK", semantic_version="1.2.3") == 1
    assert value(started, "athanor_requests_in_flight") == 0
    started.close()
    (line,) = log_lines(settings)
    door = next(span for span in collector.spans if span.name != "predict")
    assert {line["request_id"], *(row["request_id"] for row in predictions(settings))} == {"r-1"}
    assert {line["trace_id"], *(span.trace_id.hex() for span in collector.spans)} == {_TRACE}
    assert line["span_id"] == door.span_id.hex()
    assert (line["rows"], line["variant"], line["version"]) == (3, "champion", "1.2.3")
    assert line["duration_ms"] > 0
    assert [row["late_probability"] for row in predictions(settings)] == _PROBABILITIES.tolist()


def test_a_refusal_is_counted_traced_and_logged_without_predictions(tmp_path: Path, collector: Collector) -> None:
    settings = make(tmp_path, access_log_ratio=0)
    started = start(settings)
    violation = FieldViolation("flights[0].distance", "MINIMUM", "-777 is too small")
    started.begin("rest", "r").refused(InvalidRequestError("bad", (violation,)))
    assert value(started, "athanor_requests_total", door="rest", code="INVALID_REQUEST") == 1
    assert value(started, "athanor_violations_total", rule="MINIMUM") == 1
    started.close()
    (line,) = log_lines(settings)
    assert line["violations"] == {"distance MINIMUM": 1}
    assert line["trace_id"] == collector.spans[0].trace_id.hex()
    assert not list(Path(str(settings.prediction_log)).rglob("*.parquet"))


def test_a_failure_is_an_error_in_log_and_trace(tmp_path: Path, collector: Collector) -> None:
    settings = make(tmp_path)
    started = start(settings)
    started.begin("grpc", "r").refused(ServiceError("failed"))
    started.close()
    assert [line["level"] for line in log_lines(settings)] == ["error"]
    assert collector.spans[0].status.code == collector.spans[0].status.STATUS_CODE_ERROR


@pytest.mark.parametrize(
    ("traceparent", "ratio", "is_traced"),
    [
        (_SAMPLED, 0, True),
        (_UNSAMPLED, 1, False),
        (None, 0, False),
        (None, 1, True),
        ("00-x", 0, False),
        ("00-x", 1, True),
    ],
)
def test_the_caller_decides_whether_it_is_traced_and_else_the_ratio(
    tmp_path: Path, collector: Collector, traceparent: str | None, ratio: float, is_traced: bool
) -> None:
    settings = make(tmp_path, trace_ratio=ratio)
    started = start(settings)
    observation = started.begin("grpc", "r", traceparent)
    assert (observation._span is not None) == is_traced
    answer(observation)
    started.close()
    assert bool(collector.spans) == is_traced
    # The log names the caller's trace even if the replica does not trace.
    assert ("trace_id" in log_lines(settings)[0]) == (is_traced or traceparent == _UNSAMPLED)


def test_nothing_is_traced_without_a_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    started = start(make(tmp_path))
    observation = started.begin("grpc", "r", _SAMPLED)
    assert observation._span is None
    assert observation.trace_id == _TRACE
    answer(observation)
    started.close()


def test_a_smaller_sample_is_a_part_of_a_larger_one(tmp_path: Path) -> None:
    random.seed(0)
    settings = make(tmp_path, trace_ratio=0, access_log_ratio=0.02, prediction_log_ratio=0.25)
    started = start(settings)
    for number in range(2_000):
        answer(started.begin("grpc", f"r{number}"))
    started.close()
    logged = {line["request_id"] for line in log_lines(settings)}
    kept = {row["request_id"] for row in predictions(settings)}
    # Five standard deviations.
    assert len(logged) == pytest.approx(40, abs=5 * 6.3)
    assert len(kept) == pytest.approx(500, abs=5 * 19.4)
    assert logged <= kept


def test_ratios_of_zero_leave_metrics_alone(tmp_path: Path, collector: Collector) -> None:
    settings = make(tmp_path, trace_ratio=0, access_log_ratio=0, prediction_log_ratio=0)
    started = start(settings)
    for _ in range(100):
        answer(started.begin("grpc", "r"))
    assert value(started, "athanor_rows_total") == 300
    started.close()
    assert (log_lines(settings), collector.spans) == ([], [])
    assert not list(Path(str(settings.prediction_log)).rglob("*.parquet"))


def test_a_shadows_answer_is_logged_beside_the_answer_and_compared_with_it(tmp_path: Path) -> None:
    settings = make(tmp_path)
    started = start(settings)
    observation = started.begin("grpc", "r")
    answer(observation)
    observation.shadowed(_ANSWER, make_answer(_PROBABILITIES + 0.1, make_variant("shadow", "2.0.0", "d2"), _COLUMNS))
    assert value(started, "athanor_shadow_difference_count", semantic_version="2.0.0") == 3
    assert value(started, "athanor_shadow_difference_sum") == pytest.approx(0.3)
    started.close()
    rows = predictions(settings)
    assert {(row["variant"], row["request_id"], row["release_digest"]) for row in rows} == {
        ("champion", "r", "d1"),
        ("shadow", "r", "d2"),
    }


def test_loads_and_failed_loads_are_counted(tmp_path: Path) -> None:
    started = start(make(tmp_path))
    started.model.loaded("champion", "1.2.3", "d1", 0.4, 5)
    started.telemetry.load_failed("delays")
    started.model.shadow_dropped()
    assert value(started, "athanor_traffic_revision") == 5
    assert value(started, "athanor_model_info", semantic_version="1.2.3", digest="d1") == 1
    assert value(started, "athanor_traffic_reload_failures_total") == 1
    assert value(started, "athanor_shadow_dropped_total") == 1
    started.close()


def test_closing_loses_nothing_and_the_next_replica_reads_the_counts(tmp_path: Path) -> None:
    settings = make(tmp_path)
    first = start(settings)
    for _ in range(10):
        answer(first.begin("grpc", "r"))
    first.close()
    first.close()
    second = start(settings)
    assert value(second, "athanor_rows_total") == 30
    assert value(second, "athanor_prediction_log_rows_total") == 30
    assert value(second, "athanor_replicas") == 1
    second.close()
    assert len(predictions(settings)) == 30


def test_metrics_that_cannot_be_shared_are_logged_once_and_still_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def full(path: Path, content: bytes, *, durable: bool) -> None:
        tried.append(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("athanor.serving.telemetry.metric_snapshots.replace_file", full)
    monkeypatch.setattr("athanor.serving.telemetry.telemetry._FLUSH_S", 0.01)
    settings = make(tmp_path)
    started = start(settings)
    answer(started.begin("grpc", "r"))
    deadline = time.monotonic() + 120
    while len(tried) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert value(started, "athanor_rows_total") == 3
    started.close()
    shown = [line for line in log_lines(settings) if "cannot share metrics" in line["message"]]
    assert len(tried) >= 3
    assert len(shown) == 1


def test_a_prediction_log_that_cannot_be_written_fails_the_start(tmp_path: Path) -> None:
    (tmp_path / "predictions").write_text("in its place")
    with pytest.raises(SettingsError, match="prediction_log"):
        start(make(tmp_path))
