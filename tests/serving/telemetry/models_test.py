"""Telemetry of several models in one replica."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.answers import make_answer, make_variant
from support.collector import attributes_of, collecting
from support.flights import make_columns
from support.prediction_logs import read, wait_until

from athanor.errors import FieldViolation, InvalidRequestError, ModelNotFoundError, SettingsError
from athanor.serving.answering.batching.batcher import Computed
from athanor.serving.answering.prepared import Answer
from athanor.serving.setup.paths import ServicePaths
from athanor.serving.setup.settings import ServingSettings, make_settings
from athanor.serving.telemetry.observation import Observation
from athanor.serving.telemetry.telemetry import Telemetry
from projects.delays.model import MODEL

_DELAYS: Final = MODEL.contract
_COLUMNS: Final = _DELAYS.columns
_OTHER: Final = replace(_DELAYS, name="other", columns=tuple(c for c in _COLUMNS if c.name != "distance"))
_ROWS: Final = make_columns(3)
_GAUGES: Final = ("athanor_requests_in_flight", "athanor_traffic_revision", "athanor_model_info")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServingSettings:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    ratios = dict.fromkeys(("trace_ratio", "access_log_ratio", "prediction_log_ratio"), 1.0)
    log = tmp_path / "predictions"
    return make_settings(
        service="models", store=tmp_path / "store", folder=tmp_path / "service", prediction_log=log, **ratios
    )


@pytest.fixture
def telemetry(settings: ServingSettings) -> Iterator[Telemetry]:
    telemetry = Telemetry(settings)
    yield telemetry
    telemetry.close()


def answer(observation: Observation, version: str = "1.2.3") -> Answer:
    answer = make_answer([0.1, 0.2, 0.3], make_variant("champion", version), _ROWS)
    observation.answered(Computed(answer, 1, 2))
    return answer


def refuse(observation: Observation) -> None:
    violation = FieldViolation("flights[0].distance", "MINIMUM", "-777 is too small")
    observation.refused(InvalidRequestError("bad", (violation,)))


def samples(telemetry: Telemetry) -> list[Any]:
    content, _ = telemetry.render_metrics()
    return [sample for family in text_string_to_metric_families(content.decode()) for sample in family.samples]


def value(telemetry: Telemetry, name: str, **labels: str) -> float:
    found = [s.value for s in samples(telemetry) if s.name == name and labels.items() <= s.labels.items()]
    return float(sum(found))


def models_of(telemetry: Telemetry, *names: str) -> set[str]:
    """The models that metrics name; of all metrics with the label without names."""
    return {s.labels["model"] for s in samples(telemetry) if "model" in s.labels and (not names or s.name in names)}


def log_lines(settings: ServingSettings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ServicePaths.of(settings).log.read_text().splitlines()]


def test_the_metrics_of_two_models_are_counted_apart(telemetry: Telemetry) -> None:
    delays, other = telemetry.model(_DELAYS), telemetry.model(_OTHER)
    delays.loaded("champion", "1.2.3", "d1", 0.1, 5)
    other.loaded("champion", "1.2.3", "d1", 0.1, 7)
    for _ in range(2):
        answer(telemetry.begin("rest", "r", None, delays))
    refuse(telemetry.begin("rest", "r", None, delays))
    observation = telemetry.begin("rest", "r", None, other)
    observation.shadowed(answer(observation), answer(telemetry.begin("rest", "r", None, other)))
    other.shadow_dropped()
    telemetry.begin("rest", "r", None, other)
    expected = {
        "athanor_requests_total": (3, 2),
        "athanor_rows_total": (6, 6),
        "athanor_violations_total": (1, 0),
        "athanor_shadow_requests_total": (0, 1),
        "athanor_shadow_dropped_total": (0, 1),
        "athanor_shadow_difference_count": (0, 3),
        "athanor_request_duration_seconds_count": (3, 2),
        "athanor_prediction_count": (6, 9),
        "athanor_requests_in_flight": (0, 1),
        "athanor_traffic_revision": (5, 7),
        "athanor_model_info": (1, 1),
        "athanor_model_load_seconds_count": (1, 1),
    }
    found = {name: tuple(value(telemetry, name, model=model) for model in ("delays", "other")) for name in expected}
    assert found == expected
    assert (delays.in_flight, other.in_flight, telemetry.in_flight) == (0, 1, 1)


def test_counters_of_a_model_stand_at_zero_before_the_first_event(telemetry: Telemetry) -> None:
    telemetry.model(_OTHER)
    zero = {s.name for s in samples(telemetry) if s.labels.get("model") == "other" and s.value == 0}
    assert zero >= {
        "athanor_traffic_reload_failures_total",
        "athanor_shadow_dropped_total",
        "athanor_redirected_requests_total",
        "athanor_prediction_log_rows_total",
        "athanor_prediction_log_dropped_total",
    }


def test_a_request_without_a_known_model_counts_without_one(telemetry: Telemetry, settings: ServingSettings) -> None:
    telemetry.model(_DELAYS)
    observation = telemetry.begin("oip-rest", "r", None, None)
    assert value(telemetry, "athanor_requests_in_flight", model="") == 1
    observation.refused(ModelNotFoundError("there is no model 'a caller's text'"))
    assert value(telemetry, "athanor_requests_total", model="", door="oip-rest", code="MODEL_NOT_FOUND") == 1
    assert value(telemetry, "athanor_requests_in_flight") == 0
    assert models_of(telemetry) == {"", "delays"}
    (line,) = log_lines(settings)
    assert line["model"] == ""


def test_a_model_that_becomes_known_counts_for_the_request(telemetry: Telemetry, settings: ServingSettings) -> None:
    other = telemetry.model(_OTHER)
    observation = telemetry.begin("oip-grpc", "r", None, None)
    observation.of(other)
    assert (other.in_flight, value(telemetry, "athanor_requests_in_flight", model="")) == (1, 0)
    answer(observation)
    assert value(telemetry, "athanor_requests_total", model="other", code="OK") == 1
    assert value(telemetry, "athanor_requests_total", model="") == 0
    assert (other.in_flight, telemetry.in_flight) == (0, 0)
    telemetry.close()
    assert [line["model"] for line in log_lines(settings)] == ["other"]
    assert len(read(settings.prediction_log / "other")) == 3  # type: ignore[operator]


def test_a_model_that_leaves_takes_its_gauges_along_and_leaves_its_totals(telemetry: Telemetry) -> None:
    delays, other = telemetry.model(_DELAYS), telemetry.model(_OTHER)
    for model in (delays, other):
        model.loaded("champion", "1.2.3", "d1", 0.1, 5)
        answer(telemetry.begin("rest", "r", None, model))
    last = telemetry.begin("rest", "r", None, other)
    other.close()
    other.close()
    assert models_of(telemetry, "athanor_traffic_revision", "athanor_model_info") == {"delays"}
    # It is in flight until it is answered.
    assert value(telemetry, "athanor_requests_in_flight", model="other") == telemetry.in_flight == 1
    answer(last)
    assert models_of(telemetry, *_GAUGES) == {"", "delays"}
    assert value(telemetry, "athanor_requests_total", model="other") == 2
    assert value(telemetry, "athanor_requests_total", model="delays") == 1


def test_a_model_that_comes_back_goes_on_counting(telemetry: Telemetry, settings: ServingSettings) -> None:
    for revision in (1, 2):
        other = telemetry.model(_OTHER)
        other.loaded("champion", "1.2.3", "d1", 0.1, revision)
        answer(telemetry.begin("rest", "r", None, other))
        assert value(telemetry, "athanor_traffic_revision", model="other") == revision
        assert value(telemetry, "athanor_rows_total", model="other") == 3 * revision
        other.close()
        # One that left writes its rows without waiting for a full file.
        rows = 3 * revision
        wait_until(lambda: value(telemetry, "athanor_prediction_log_rows_total", model="other") == rows)  # noqa: B023 - it is called at once
    assert len(read(settings.prediction_log / "other")) == 6  # type: ignore[operator]


def test_one_that_comes_back_before_the_last_request_of_the_old_one_ended_counts_both(telemetry: Telemetry) -> None:
    old, new = telemetry.model(_OTHER), telemetry.model(_OTHER)
    old.loaded("champion", "1.2.3", "d1", 0.1, 5)
    new.loaded("champion", "2.0.0", "d2", 0.1, 6)
    last = telemetry.begin("rest", "r", None, old)
    old.close()
    telemetry.begin("rest", "r", None, new)
    assert value(telemetry, "athanor_requests_in_flight", model="other") == 2
    assert value(telemetry, "athanor_traffic_revision", model="other") == 6
    answer(last)
    assert value(telemetry, "athanor_requests_in_flight", model="other") == new.in_flight == 1


def test_replicas_report_each_others_models_and_keep_the_totals_of_one_that_left(
    telemetry: Telemetry, settings: ServingSettings
) -> None:
    second = Telemetry(settings)
    models = [each.model(_OTHER) for each in (telemetry, second)]
    for each, model in zip((telemetry, second), models, strict=True):
        model.loaded("champion", "1.2.3", "d1", 0.1, 5)
        answer(each.begin("rest", "r", None, model))
    second._metrics.flush()
    assert value(telemetry, "athanor_model_info", model="other") == 2
    assert value(telemetry, "athanor_requests_total", model="other") == 2
    for model in models:
        model.close()
    second._metrics.flush()
    assert models_of(telemetry, *_GAUGES) == {""}
    assert value(telemetry, "athanor_requests_total", model="other") == 2
    second.close()
    assert value(telemetry, "athanor_requests_total", model="other") == 2


def test_a_model_that_never_loaded_counts_its_failures(telemetry: Telemetry) -> None:
    telemetry.model(_DELAYS)
    telemetry.load_failed("broken")
    assert value(telemetry, "athanor_traffic_reload_failures_total", model="broken") == 1
    assert value(telemetry, "athanor_traffic_reload_failures_total", model="delays") == 0
    assert models_of(telemetry, *_GAUGES) == {"", "delays"}


def test_the_log_names_the_columns_of_the_requests_model_alone(telemetry: Telemetry, settings: ServingSettings) -> None:
    for contract in (_DELAYS, _OTHER):
        refuse(telemetry.begin("rest", "r", None, telemetry.model(contract)))
    refuse(telemetry.begin("rest", "r", None, None))
    found = [(line["model"], line["violations"]) for line in log_lines(settings)]
    assert found == [("delays", {"distance MINIMUM": 1}), ("other", {"other MINIMUM": 1}), ("", {"other MINIMUM": 1})]


def test_a_span_names_its_model_as_soon_as_it_is_known(
    settings: ServingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        telemetry = Telemetry(settings)
        other = telemetry.model(_OTHER)
        observation = telemetry.begin("oip-grpc", "becomes known", None, None)
        observation.of(other)
        answer(observation)
        answer(telemetry.begin("grpc", "known", None, other))
        refuse(telemetry.begin("grpc", "unknown", None, None))
        telemetry.close()
    doors = [(span.name, attributes_of(span)) for span in collector.spans if span.name != "predict"]
    assert {each["athanor.request_id"]: (name, each.get("athanor.model")) for name, each in doors} == {
        "becomes known": ("inference.GRPCInferenceService/ModelInfer", "other"),
        "known": ("delays.v1.DelaysService/Predict", "other"),
        "unknown": ("Predict", None),
    }
    assert collector.resource["service.name"] == "models"


def test_a_model_that_cannot_have_a_prediction_log_is_refused_and_the_others_go_on(telemetry: Telemetry) -> None:
    delays = telemetry.model(_DELAYS)
    clashing = replace(_OTHER, columns=(replace(_COLUMNS[0], name="request_id"), *_COLUMNS[1:]))
    with pytest.raises(SettingsError, match=r"other cannot have a prediction log.*request_id"):
        telemetry.model(clashing)
    answer(telemetry.begin("rest", "r", None, delays))
    assert models_of(telemetry) == {"", "delays"}
