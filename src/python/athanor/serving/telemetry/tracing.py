"""Traces: a span for a request at its door, and one below for the model. Sent by OTLP to whoever collects them.

Only where OTEL_EXPORTER_OTLP_ENDPOINT is set; OpenTelemetry's other variables are obeyed. A request that is not sampled
makes no span at all.
"""

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.util.types import AttributeValue

from athanor.errors import SettingsError
from athanor.version import VERSION

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_SERVICE_NAME: Final = "service.name"
# A replica that stops does not wait long for a collector that does not answer.
_CLOSE_S: Final = 2.0

# https://www.w3.org/TR/trace-context/#traceparent-header: version 00 has these four parts, later ones may have more.
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class Parent:
    """The caller's span, as its `traceparent` tells.

    Attributes:
        trace_id, span_id: in hexadecimal, 32 and 16 digits.
        sampled: whether the caller records its trace.
    """

    trace_id: str
    span_id: str
    sampled: bool


def parse_traceparent(text: str) -> Parent | None:
    """The caller's span; None where the text is not what W3C allows, which is then as if it had not been sent."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Parent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


class Tracing:
    """Makes spans and sends them in the background. What cannot be sent in time is dropped."""

    def __init__(self, resource: Resource) -> None:
        # Who is sampled is decided before a span is made.
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("athanor.serving", VERSION)

    @classmethod
    def from_environment(cls, model: str) -> "Tracing | None":
        """As OpenTelemetry's variables say; None where nobody collects.

        Args:
            model: names the service, unless a variable does.

        Raises:
            SettingsError: it shall be sent otherwise than by gRPC.
        """
        if not any(map(os.environ.get, _ENDPOINTS)) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return None
        for name in _PROTOCOLS:
            if (protocol := os.environ.get(name, "grpc")) != "grpc":
                raise SettingsError(f"{name} is {protocol!r}; traces are sent by gRPC alone: set it to grpc, or not")
        return cls(_describe(model))

    def start(self, name: str, parent: Parent | None, attributes: Mapping[str, AttributeValue]) -> Span:
        """Starts the span of a request at its door."""
        context = Context() if parent is None else _below(parent)
        return self._tracer.start_span(name, context, SpanKind.SERVER, attributes)

    def add_child(self, span: Span, name: str, started_ns: int, ended_ns: int) -> None:
        """Adds what happened within a span. Times are nanoseconds since 1970."""
        context = set_span_in_context(span, Context())
        self._tracer.start_span(name, context, start_time=started_ns).end(ended_ns)

    def close(self) -> None:
        """Sends what is left, if the collector takes it soon."""
        giving_up = threading.Timer(_CLOSE_S, self._exporter.shutdown)
        giving_up.daemon = True
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()


def _describe(model: str) -> Resource:
    found = Resource.create({"service.version": VERSION})
    named = os.environ.get("OTEL_SERVICE_NAME") or f"{_SERVICE_NAME}=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return found if named else found.merge(Resource({_SERVICE_NAME: model}))


def _below(parent: Parent) -> Context:
    context = SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return set_span_in_context(NonRecordingSpan(context), Context())
