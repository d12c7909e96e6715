"""What a running service records of the same requests: metrics, a trace, its log and its prediction log."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
import pyarrow.dataset as ds
import pytest
from google.protobuf import json_format
from integration.credentials import authorize
from integration.service import Service, running_service
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prepared.place import copy_prepared
from prometheus_client.parser import text_string_to_metric_families
from support.collector import Collector, collecting
from support.flights import make_flight
from support.processes import nothing_survives

from delays.v1 import delays_pb2, delays_pb2_grpc

# Far outside the contract's bounds, and nowhere else in what a service writes.
_SECRET_DISTANCE: Final = -98_765.0
_ALL: Final = ("--access-log-ratio", 1, "--prediction-log-ratio", 1, "--trace-ratio", 0)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> "Records":
    """All records of a service that got requests at two doors and has ended."""
    folder = tmp_path_factory.mktemp("telemetry")
    home, log = copy_prepared(folder / "home"), folder / "predictions"
    with pytest.MonkeyPatch.context() as environment, nothing_survives():
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        with running_service(home, "--prediction-log", log, *_ALL) as service:
            records = Records(collector, log)
            records.ask(service)
        records.log = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
        records.text = service.log
        records.token = service.token
    return records


class Records:
    """What a service recorded.

    Attributes:
        trace_id: of the trace that the caller started.
        log: the JSON lines of the service's log; `text` is all of it.
    """

    def __init__(self, collector: Collector, folder: Path) -> None:
        self.collector = collector
        self.folder = folder
        self.trace_id = ""
        self.metrics: list[Any] = []
        self.log: list[dict[str, Any]] = []
        self.text = self.token = ""

    def ask(self, service: Service) -> None:
        request = delays_pb2.PredictRequest(flights=[make_flight(), make_flight()])
        with grpc.insecure_channel(service.grpc) as channel:
            stub = delays_pb2_grpc.DelaysServiceStub(authorize(channel, service.authorization))
            with _ClientSpan(self) as traceparent:
                stub.Predict(request, metadata=(("x-request-id", "traced"), ("traceparent", traceparent)))
            stub.Predict(request, metadata=(("x-request-id", "untraced"),))
        headers = dict([service.authorization])
        with httpx.Client(base_url=f"http://{service.http}", timeout=60, trust_env=False, headers=headers) as rest:
            body = json_format.MessageToDict(request)
            body["flights"][1]["distance"] = _SECRET_DISTANCE
            refused = rest.post("/v1/models/delays:predict", json=body, headers={"x-request-id": "refused"})
            assert refused.status_code == 400
            families = text_string_to_metric_families(rest.get("/metrics").raise_for_status().text)
            self.metrics = [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        return sum(float(s.value) for s in self.metrics if s.name == name and labels.items() <= s.labels.items())

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ds.dataset(self.folder, format="parquet").to_table().to_pylist()
        return found


class _ClientSpan:
    """The span of a caller that samples its trace, sent to the same collector."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._provider = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=records.collector.endpoint, insecure=True)
        self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        self._span = self._provider.get_tracer("caller").start_span("ask", kind=trace.SpanKind.CLIENT)

    def __enter__(self) -> str:
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(self._span))
        self._records.trace_id = f"{self._span.get_span_context().trace_id:032x}"
        return carrier["traceparent"]

    def __exit__(self, *_: object) -> None:
        self._span.end()
        self._provider.shutdown()


def test_one_trace_connects_the_client_the_door_and_the_model(records: Records) -> None:
    client, door, model = sorted(records.collector.spans, key=lambda span: span.start_time_unix_nano)
    assert [span.name for span in (client, door, model)] == [
        "ask",
        "delays.v1.DelaysService/Predict",
        "predict",
    ]
    assert {span.trace_id.hex() for span in (client, door, model)} == {records.trace_id}
    assert (client.parent_span_id, door.parent_span_id, model.parent_span_id) == (b"", client.span_id, door.span_id)
    assert door.start_time_unix_nano <= model.start_time_unix_nano
    assert model.end_time_unix_nano <= door.end_time_unix_nano <= client.end_time_unix_nano


def test_metrics_count_every_request(records: Records) -> None:
    assert records.value("athanor_requests_total", model="delays", door="grpc", code="OK", variant="champion") == 2
    assert records.value("athanor_requests_total", model="delays", door="rest", code="INVALID_REQUEST") == 1
    assert records.value("athanor_rows_total", model="delays", door="grpc") == 4
    assert records.value("athanor_request_duration_seconds_count") == 3
    assert records.value("athanor_violations_total") == 1
    assert records.value("athanor_prediction_count", variant="champion") == 4
    assert records.value("athanor_requests_in_flight") == 0
    assert records.value("athanor_replicas") == records.value("athanor_model_info", variant="champion") == 1


def test_the_log_has_each_request_with_its_trace_but_neither_values_nor_tokens(records: Records) -> None:
    lines = {line["request_id"]: line for line in records.log if "request_id" in line}
    assert set(lines) == {"traced", "untraced", "refused"}
    door = next(span for span in records.collector.spans if span.name.endswith("/Predict"))
    assert lines["traced"]["trace_id"] == records.trace_id
    assert lines["traced"]["span_id"] == door.span_id.hex()
    assert "trace_id" not in lines["untraced"]
    assert (lines["refused"]["code"], list(lines["refused"]["violations"])) == ("INVALID_REQUEST", ["distance MINIMUM"])
    assert "98765" not in records.text
    assert records.token not in records.text


def test_the_prediction_log_has_the_answered_rows_once_the_service_has_ended(records: Records) -> None:
    rows = records.rows()
    assert sorted((row["request_id"], row["row"]) for row in rows) == [
        ("traced", 0),
        ("traced", 1),
        ("untraced", 0),
        ("untraced", 1),
    ]
    version = next(line["version"] for line in records.log if line.get("request_id") == "traced")
    assert {row["semantic_version"] for row in rows} == {version}
    assert {row["carrier"] for row in rows} == {make_flight().carrier}
    assert len({row["late_probability"] for row in rows}) == 1
