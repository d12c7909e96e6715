import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.answers import make_answer, make_variant
from support.commands import environment

from athanor.errors import FieldViolation
from athanor.serving.telemetry import metrics as metrics_module
from athanor.serving.telemetry.metrics import Metrics, ModelGauges

_MS = 1_000_000

# Another replica of the machine, until its standard input closes or it is killed.
_OTHER = """
import sys
from pathlib import Path
from support.answers import make_answer
from athanor.serving.telemetry.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]), "other")
model = metrics.open("delays")
for _ in range(3):
    metrics.begun(model)
    metrics.answered(model, "grpc", make_answer([0.5]), 1_000_000)
metrics.begun(model)
metrics.loaded(model, "champion", "1.0.0", "d1", 0.2, 7)
metrics.flush()
print("ready", flush=True)
sys.stdin.read()
metrics.close()
"""


class Replica(NamedTuple):
    """The metrics of a replica, and its model."""

    metrics: Metrics
    model: ModelGauges


def start(folder: Path, name: str) -> Replica:
    metrics = Metrics(folder, name)
    return Replica(metrics, metrics.open("delays"))


@pytest.fixture
def own(tmp_path: Path) -> Replica:
    return start(tmp_path, "own")


def read(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples, as Prometheus reads them."""
    content, _ = metrics.render()
    families = text_string_to_metric_families(content.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(own: Replica, name: str, /, **labels: str) -> float:
    """The sum of all samples with these labels."""
    samples = read(own.metrics).items()
    return sum(found for (sample, has), found in samples if sample == name and set(labels.items()) <= set(has))


def answer(own: Replica, *probabilities: float, door: str = "grpc", milliseconds: float = 1) -> None:
    own.metrics.begun(own.model)
    own.metrics.answered(own.model, door, make_answer(probabilities), int(milliseconds * _MS))


def test_answers_are_counted_by_door_and_version(own: Replica) -> None:
    answer(own, 0.1, 0.2)
    answer(own, 0.3)
    answer(own, 0.3, door="rest")
    version = {"code": "OK", "variant": "champion", "semantic_version": "1.0.0"}
    assert value(own, "athanor_requests_total", door="grpc", **version) == 2
    assert value(own, "athanor_requests_total", door="rest", **version) == 1
    assert value(own, "athanor_rows_total", door="grpc") == 3


def test_refusals_are_counted_by_code_and_violations_by_rule(own: Replica) -> None:
    violations = [FieldViolation(f"flights[{i}].distance", rule, "") for i, rule in enumerate(["MINIMUM"] * 2 + ["X"])]
    own.metrics.begun(own.model)
    own.metrics.refused(own.model, "rest", "INVALID_REQUEST", _MS, violations)
    labels = {"door": "rest", "code": "INVALID_REQUEST", "variant": "", "semantic_version": ""}
    assert value(own, "athanor_requests_total", **labels) == 1
    assert value(own, "athanor_violations_total", rule="MINIMUM") == 2
    assert value(own, "athanor_violations_total", rule="X") == 1
    assert value(own, "athanor_request_duration_seconds_count", door="rest") == 1
    assert value(own, "athanor_rows_total", door="rest") == 0


@pytest.mark.parametrize(
    ("milliseconds", "first", "before"),
    [(1, "0.001", "0.0005"), (1.0001, "0.002", "0.001"), (30_001, "+Inf", "30.0")],
)
def test_a_duration_is_in_the_first_bucket_that_it_does_not_exceed(
    own: Replica, milliseconds: float, first: str, before: str
) -> None:
    answer(own, 0.5, milliseconds=milliseconds)
    name = "athanor_request_duration_seconds_bucket"
    assert value(own, name, door="grpc", le=first) == 1
    assert value(own, name, door="grpc", le=before) == 0
    assert value(own, name, door="grpc", le="+Inf") == 1
    assert value(own, "athanor_request_duration_seconds_sum", door="grpc") == pytest.approx(milliseconds / 1_000)


def test_predictions_are_spread_over_twenty_buckets(own: Replica) -> None:
    drawn = np.random.default_rng(1).uniform(size=1_000)
    answer(own, *drawn, 0.0, 0.05, 1.0)
    labels = {"variant": "champion", "semantic_version": "1.0.0"}
    for end in np.arange(1, 21) / 20:
        expected = np.count_nonzero(drawn <= end) + 2 + (end == 1.0)
        assert value(own, "athanor_prediction_bucket", le=str(round(float(end), 2)), **labels) == expected
    assert value(own, "athanor_prediction_count", **labels) == 1_003
    assert value(own, "athanor_prediction_sum", **labels) == pytest.approx(drawn.sum() + 1.05)


def test_a_request_is_in_flight_until_it_is_answered_or_refused(own: Replica) -> None:
    own.metrics.begun(own.model)
    own.metrics.begun(own.model)
    own.metrics.begun(own.model)
    assert value(own, "athanor_requests_in_flight") == 3
    own.metrics.answered(own.model, "grpc", make_answer([0.5]), _MS)
    own.metrics.refused(own.model, "grpc", "OVERLOADED", _MS, ())
    assert value(own, "athanor_requests_in_flight") == 1


def test_the_shadow_is_compared_with_the_answer(own: Replica) -> None:
    shadow = make_variant("shadow", "2.0.0")
    own.metrics.shadowed(own.model, make_answer([0.5]), make_answer([0.53], shadow))
    own.metrics.shadowed(own.model, make_answer([0.1]), make_answer([0.9], shadow))
    labels = {"semantic_version": "2.0.0"}
    assert value(own, "athanor_shadow_difference_count", **labels) == 2
    assert value(own, "athanor_shadow_difference_sum", **labels) == pytest.approx(0.83)
    assert value(own, "athanor_shadow_difference_bucket", le="0.05", **labels) == 1
    assert value(own, "athanor_shadow_requests_total", **labels) == 2
    assert value(own, "athanor_prediction_count", variant="shadow", **labels) == 2


def test_requests_that_the_shadow_dropped_are_counted(own: Replica) -> None:
    own.metrics.shadow_dropped(own.model)
    assert value(own, "athanor_shadow_requests_total") == 0
    assert value(own, "athanor_shadow_dropped_total") == 1


def test_a_release_that_is_no_longer_loaded_is_not_reported(own: Replica) -> None:
    own.metrics.loaded(own.model, "champion", "1.0.0", "d1", 0.3, 1)
    own.metrics.loaded(own.model, "shadow", "2.0.0", "d2", 0.3, 1)
    assert value(own, "athanor_model_info", variant="shadow", semantic_version="2.0.0", digest="d2") == 1
    own.metrics.loaded(own.model, "champion", "2.0.0", "d2", 0.3, 2)
    reported = [labels for name, labels in read(own.metrics) if name == "athanor_model_info"]
    assert [dict(labels)["digest"] for labels in reported] == ["d2"]
    assert value(own, "athanor_traffic_revision", replica="own") == 2
    assert value(own, "athanor_model_load_seconds_count", variant="champion") == 2


def test_load_failures_and_the_prediction_log_are_counted(own: Replica) -> None:
    assert value(own, "athanor_traffic_reload_failures_total") == 0
    own.metrics.load_failed("delays")
    own.metrics.logged("delays", 5, {"queue": 2})
    own.metrics.logged("delays", 7, {"queue": 2})
    assert value(own, "athanor_traffic_reload_failures_total") == 1
    assert value(own, "athanor_prediction_log_rows_total") == 7
    assert value(own, "athanor_prediction_log_dropped_total", reason="queue") == 2


@pytest.mark.parametrize("count", ["many", "large"])
def test_arrays_are_aggregated_before_many_wait_even_if_nothing_is_flushed(own: Replica, count: str) -> None:
    probabilities = np.full(10_000 if count == "large" else 1, 0.5)
    kept = weakref.ref(probabilities)
    answer(own, *probabilities)
    own.metrics.begun(own.model)
    own.metrics.answered(own.model, "grpc", make_answer(probabilities), _MS)
    own.metrics.shadowed(own.model, make_answer(probabilities), make_answer(probabilities, make_variant("shadow")))
    own.metrics.begun(own.model)
    own.metrics.refused(own.model, "grpc", "INVALID_REQUEST", _MS, [FieldViolation("", "X", "")] * len(probabilities))
    del probabilities
    for _ in range(5_000 if count == "many" else 0):
        answer(own, 0.5)
    assert kept() is None
    assert not own.metrics._refusals
    assert len(own.metrics._answers) < 5_000


def test_nothing_is_lost_between_threads_nor_when_the_callers_aggregate(
    own: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_module, "_MAX_PENDING", 10)
    stop = threading.Event()

    def flush() -> None:
        while not stop.is_set():
            own.metrics.flush()

    flusher = threading.Thread(target=flush)
    flusher.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: answer(own, 0.5), range(2_000)))
    stop.set()
    flusher.join()
    assert value(own, "athanor_rows_total", door="grpc") == 2_000
    assert value(own, "athanor_requests_in_flight") == 0


def start_other(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _OTHER, str(folder)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    return other


def test_all_replicas_of_the_machine_are_reported_and_the_dead_stay_counted(tmp_path: Path) -> None:
    own = start(tmp_path, "own")
    answer(own, 0.5)
    own.metrics.loaded(own.model, "champion", "1.0.0", "d1", 0.2, 7)
    others = [start_other(tmp_path), start_other(tmp_path)]
    release = {"variant": "champion", "semantic_version": "1.0.0", "digest": "d1"}
    assert value(own, "athanor_rows_total", door="grpc") == 7
    assert value(own, "athanor_replicas") == 3
    assert value(own, "athanor_requests_in_flight") == 2
    assert value(own, "athanor_model_info", **release) == 3
    assert value(own, "athanor_request_duration_seconds_bucket", door="grpc", le="0.001") == 7
    others[0].send_signal(signal.SIGKILL)
    others[0].communicate()
    assert others[1].communicate("")
    assert others[1].returncode == 0
    assert value(own, "athanor_rows_total", door="grpc") == 7
    assert value(own, "athanor_replicas") == 1
    assert value(own, "athanor_requests_in_flight") == 0
    assert value(own, "athanor_model_info", **release) == 1
    # A replica that starts folds the dead.
    newcomer = start(tmp_path, "new")
    assert not [path for path in tmp_path.glob("*.json") if path.stem not in ("retired", own.metrics._folder._name)]
    own.metrics.flush()
    newcomer.metrics.flush()
    for each in (own, newcomer):
        assert value(each, "athanor_rows_total", door="grpc") == 7
        assert value(each, "athanor_replicas") == 2


def test_the_dead_are_not_counted_twice_if_the_replica_that_folds_them_is_killed(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    answer(first, 0.5)
    first.metrics.close()
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert value(start(tmp_path, "second"), "athanor_rows_total", door="grpc") == 1
    # As if it had been killed before it removed them.
    for path, content in kept.items():
        path.write_bytes(content)
    assert value(start(tmp_path, "third"), "athanor_rows_total", door="grpc") == 1
    assert not [path for path in kept if path.exists() and path.stem != "retired"]


def test_a_replica_that_cannot_write_loses_none_of_its_counts(
    own: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes, *, durable: bool) -> None:
        raise OSError(28, "No space left on device")

    answer(own, 0.5)
    with monkeypatch.context() as context:
        context.setattr("athanor.serving.telemetry.metric_snapshots.replace_file", full)
        with pytest.raises(OSError, match="No space left"):
            own.metrics.flush()
        assert value(own, "athanor_rows_total", door="grpc") == 1
    own.metrics.close()
    assert value(start(tmp_path, "other"), "athanor_rows_total", door="grpc") == 1


def test_a_replica_that_starts_on_a_full_disk_counts_and_is_counted_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    dead = start(tmp_path, "dead")
    answer(dead, 0.5)
    dead.metrics.close()
    with monkeypatch.context() as context:
        context.setattr("athanor.serving.telemetry.metric_snapshots.replace_file", full)
        folding = start(tmp_path, "folding")
    assert value(folding, "athanor_rows_total", door="grpc") == 1
    with monkeypatch.context() as context:
        context.setattr("athanor.serving.telemetry.metric_snapshots.acquire", full)
        starting = start(tmp_path, "starting")
        answer(starting, 0.5)
        assert value(starting, "athanor_rows_total", door="grpc") == 1
    starting.metrics.flush()
    assert value(folding, "athanor_rows_total", door="grpc") == 2


def test_every_metric_has_a_name_and_a_help_text_by_the_conventions(own: Replica) -> None:
    answer(own, 0.5)
    content, media_type = own.metrics.render()
    assert media_type.startswith("text/plain; version=0.0.4")
    for family in text_string_to_metric_families(content.decode()):
        assert family.name.startswith("athanor_")
        assert family.documentation
        is_total = [sample.name.endswith("_total") for sample in family.samples]
        assert is_total == [family.type == "counter"] * len(is_total)
