import os
import re
import socket
import string
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanContext, TraceFlags, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from support.collector import Collector, attributes_of, collecting
from support.properties import PROPERTY

from athanor.errors import DeadlineExceededError, InvalidRequestError, ServiceError, SettingsError
from athanor.serving.telemetry.spans import RequestSpans
from athanor.serving.telemetry.tracing import Tracing, parse_traceparent
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from projects.delays.model import MODEL

_TRACE, _SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_HEX = "0123456789abcdef"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def collector(no_variables: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        yield collector


def make_spans() -> RequestSpans:
    tracing = Tracing.from_environment("delays")
    assert tracing is not None
    return RequestSpans(tracing, MODEL.contract)


def make_parent(trace_id: str, span_id: str, flags: int) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(flags))


def is_valid(text: str) -> bool:
    """W3C's rules, written independently of the parser."""
    parts = text.split("-")
    if [len(part) for part in parts[:4]] != [2, 32, 16, 2] or set("".join(parts[:4])) - set(_HEX):
        return False
    later = parts[0] != "00"
    return parts[0] != "ff" and (later or len(parts) == 4) and int(parts[1], 16) > 0 and int(parts[2], 16) > 0


@pytest.mark.parametrize(
    ("text", "flags", "is_sampled"),
    [
        (f"00-{_TRACE}-{_SPAN}-01", 0x01, True),
        (f"00-{_TRACE}-{_SPAN}-00", 0x00, False),
        (f"00-{_TRACE}-{_SPAN}-fe", 0xFE, False),
        (f"01-{_TRACE}-{_SPAN}-03-more-of-it", 0x03, True),
    ],
)
def test_a_traceparent_carries_trace_span_and_the_sampled_flag(text: str, flags: int, is_sampled: bool) -> None:
    parent = parse_traceparent(text)
    assert parent == make_parent(_TRACE, _SPAN, flags)
    assert parent.trace_flags.sampled == is_sampled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{_TRACE}-{_SPAN}",
        f"ff-{_TRACE}-{_SPAN}-01",
        f"00-{'0' * 32}-{_SPAN}-01",
        f"00-{_TRACE}-{'0' * 16}-01",
        f"00-{_TRACE.upper()}-{_SPAN}-01",
        f"00-{_TRACE}-{_SPAN}-0",
        f"00-{_TRACE}-{_SPAN}-01-more",
        f"00-{_TRACE}-{_SPAN}-01-",
        f"01-{_TRACE}-{_SPAN}-01more",
        f"00-{_TRACE}-{_SPAN}-01\n",
        f" 00-{_TRACE}-{_SPAN}-01",
        f"00-{_TRACE[:-1]}٣-{_SPAN}-01",
    ],
)
def test_a_traceparent_that_w3c_does_not_allow_counts_as_absent(text: str) -> None:
    assert parse_traceparent(text) is None


_parts = st.tuples(
    st.text(_HEX, min_size=2, max_size=2),
    st.text(_HEX, min_size=32, max_size=32),
    st.text(_HEX, min_size=16, max_size=16),
    st.text(_HEX, min_size=2, max_size=2),
)


@PROPERTY
@given(_parts)
def test_a_well_formed_traceparent_is_read_as_opentelemetry_reads_it(parts: tuple[str, str, str, str]) -> None:
    text = "-".join(parts)
    parent = parse_traceparent(text)
    assert (parent is not None) == is_valid(text)
    if parent is not None:
        context = TraceContextTextMapPropagator().extract({"traceparent": text})
        assert parent == get_current_span(context).get_span_context()


@PROPERTY
@given(_parts, st.integers(0, 54), st.text(string.printable + "é\x00", max_size=3))
def test_a_damaged_traceparent_is_read_only_if_it_is_still_valid(
    parts: tuple[str, str, str, str], where: int, instead: str
) -> None:
    text = "-".join(parts)
    damaged = text[:where] + instead + text[where + 1 :]
    # A later version may have anything after its flags but the end of a line.
    expected = is_valid(damaged) and not re.search("[\n]", damaged)
    assert (parse_traceparent(damaged) is not None) == expected


@PROPERTY
@given(st.text(max_size=80))
def test_no_text_raises(text: str) -> None:
    assert (parse_traceparent(text) is None) or is_valid(text)


def test_an_answer_is_a_span_at_the_door_between_the_callers_and_the_models(collector: Collector) -> None:
    spans = make_spans()
    before = time.time_ns()
    span = spans.start("grpc", "r-1", make_parent(_TRACE, _SPAN, 1))
    spans.end_answered(span, "champion", "1.2.3", "d1", 7, before + 10, before + 20)
    spans._tracing.close()
    model, door = sorted(collector.spans, key=lambda sent: sent.name != "predict")
    assert door.name == "delays.v1.DelaysService/Predict"
    assert (door.trace_id.hex(), door.parent_span_id.hex(), door.kind) == (_TRACE, _SPAN, Span.SPAN_KIND_SERVER)
    assert (model.trace_id.hex(), model.parent_span_id) == (_TRACE, door.span_id)
    assert (model.start_time_unix_nano, model.end_time_unix_nano) == (before + 10, before + 20)
    assert attributes_of(door) == {
        "rpc.system": "grpc",
        "rpc.service": "delays.v1.DelaysService",
        "rpc.method": "Predict",
        "athanor.door": "grpc",
        "athanor.request_id": "r-1",
        "athanor.model": "delays",
        "athanor.variant": "champion",
        "athanor.semantic_version": "1.2.3",
        "athanor.release_digest": "d1",
        "athanor.rows": 7,
    }


def test_without_a_callers_trace_a_new_one_begins(collector: Collector) -> None:
    spans = make_spans()
    spans.end_answered(spans.start("oip-rest", "r", None), "champion", "1", "d", 1, 1, 2)
    spans._tracing.close()
    door = next(sent for sent in collector.spans if sent.name != "predict")
    assert door.name == "POST /v2/models/{model}/infer"
    assert attributes_of(door)["http.route"] == "/v2/models/{model}/infer"
    assert door.parent_span_id == b""
    assert int.from_bytes(door.trace_id)


def test_an_inspection_has_one_name_for_both_protocols(collector: Collector) -> None:
    spans = make_spans()
    spans.end_refused(spans.start("inspection", "r", None), "inspection", InvalidRequestError("bad"))
    spans._tracing.close()
    (sent,) = collector.spans
    assert sent.name == "ComputeFeatures"
    assert not [name for name in attributes_of(sent) if name.startswith(("rpc.", "http."))]


@pytest.mark.parametrize(
    ("error", "door", "is_error", "status"),
    [
        (InvalidRequestError("bad"), "grpc", False, ("rpc.grpc.status_code", 3)),
        (InvalidRequestError("bad"), "rest", False, ("http.response.status_code", 400)),
        (DeadlineExceededError("late"), "rest", True, ("http.response.status_code", 504)),
        (ServiceError("failed"), "oip-grpc", True, ("rpc.grpc.status_code", 13)),
    ],
)
def test_only_a_fault_of_the_service_is_an_error_of_the_span(
    collector: Collector, error: InvalidRequestError, door: str, is_error: bool, status: tuple[str, int]
) -> None:
    spans = make_spans()
    spans.end_refused(spans.start(door, "r", None), door, error)
    spans._tracing.close()
    (sent,) = collector.spans
    assert attributes_of(sent)["error.type"] == error.code
    assert attributes_of(sent)[status[0]] == status[1]
    assert (sent.status.code == sent.status.STATUS_CODE_ERROR) == is_error


def test_the_service_has_its_name_unless_a_variable_sets_one(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, content, expected in (
        ("UNRELATED", "x", "delays"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=flights,team=a", "flights"),
        ("OTEL_SERVICE_NAME", "ours", "ours"),
    ):
        monkeypatch.setenv(variable, content)
        spans = make_spans()
        spans.end_refused(spans.start("grpc", "r", None), "grpc", ServiceError(""))
        spans._tracing.close()
        assert collector.resource["service.name"] == expected


def test_nothing_is_traced_without_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Tracing.from_environment("delays") is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    assert Tracing.from_environment("delays") is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert Tracing.from_environment("delays") is None


def test_another_protocol_than_grpc_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    with pytest.raises(SettingsError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL is 'http/protobuf'.*set it to grpc"):
        Tracing.from_environment("delays")


def test_a_collector_that_never_answers_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # It accepts connections and sends nothing.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        # A caller that waited for it would wait this long.
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
        spans = make_spans()
        started = time.monotonic()
        for _ in range(5_000):
            spans.end_refused(spans.start("grpc", "r", None), "grpc", ServiceError(""))
        spans._tracing.close()
        assert time.monotonic() - started < 60
