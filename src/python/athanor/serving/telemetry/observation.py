"""One request, as a replica records it."""

import time
from random import random
from typing import Final

from opentelemetry.trace import Span, format_span_id, format_trace_id

from athanor.errors import AthanorError, violations_of
from athanor.serving.answering.batching.batcher import Computed
from athanor.serving.answering.prepared import Answer
from athanor.serving.telemetry.model import ModelTelemetry
from athanor.serving.telemetry.predictions.rows import Entry
from athanor.serving.telemetry.tracing import parse_traceparent

_NANOSECONDS_IN_MS: Final = 1e6


class Observation:
    """One request, observed until it is `answered` or `refused`: call one of them, once.

    Attributes:
        trace_id: of the request's trace, in hexadecimal; None without a trace.
    """

    __slots__ = ("_at_ns", "_door", "_draw", "_model", "_request_id", "_span", "_started_ns", "trace_id")

    def __init__(self, model: ModelTelemetry, door: str, request_id: str, traceparent: str | None) -> None:
        self._model = model
        self._door = door
        self._request_id = request_id
        # One draw for all samples: a smaller sample is a part of each larger one.
        self._draw = random()  # noqa: S311 - foreseeing it gains an attacker nothing
        self._at_ns = time.time_ns()
        self._started_ns = time.perf_counter_ns()
        self._span: Span | None = None
        self.trace_id: str | None = None
        recorders = model.recorders
        recorders.metrics.begun(model.gauges)
        parent = parse_traceparent(traceparent) if traceparent else None
        if parent is not None:
            self.trace_id = format_trace_id(parent.trace_id)
        spans = model.spans
        if spans is not None and (
            parent.trace_flags.sampled if parent is not None else self._draw < recorders.trace_ratio
        ):
            self._span = spans.start(door, request_id, parent)
            self.trace_id = format_trace_id(self._span.get_span_context().trace_id)

    def of(self, model: ModelTelemetry) -> None:
        """The model of the request is known now. Call it at most once, before `answered`, if it began without one."""
        self._model = model
        model.recorders.metrics.identified(model.gauges)
        if self._span is not None and model.spans is not None:
            model.spans.adopt(self._span)

    def answered(self, computed: Computed) -> None:
        """The answer is written, and about to be sent."""
        model, answer = self._model, computed.answer
        recorders, variant = model.recorders, answer.variant
        name, version = variant.name, variant.semantic_version
        duration_ns = time.perf_counter_ns() - self._started_ns
        recorders.metrics.answered(model.gauges, self._door, answer, duration_ns)
        if answer.is_redirected:
            recorders.metrics.redirected(model.gauges)
        self._log_prediction(answer)
        if self._draw < recorders.access_log_ratio:
            recorders.requests.answered(**self._describe(duration_ns), rows=answer.count, variant=name, version=version)
        if self._span is not None and model.spans is not None:
            times = computed.started_ns, computed.ended_ns
            model.spans.end_answered(self._span, name, version, variant.digest, answer.count, *times)

    def refused(self, error: AthanorError) -> None:
        """The caller gets an error, or went away."""
        model = self._model
        recorders = model.recorders
        duration_ns = time.perf_counter_ns() - self._started_ns
        recorders.metrics.refused(model.gauges, self._door, error.code, duration_ns, violations_of(error))
        recorders.requests.refused(error, model.columns, **self._describe(duration_ns))
        if self._span is not None and model.spans is not None:
            model.spans.end_refused(self._span, self._door, error)

    def shadowed(self, answered: Answer, shadow: Answer) -> None:
        """The shadow has answered too, after `answered` and on any thread: for the prediction log and the metrics."""
        self._model.recorders.metrics.shadowed(self._model.gauges, answered, shadow)
        self._log_prediction(shadow)

    def _log_prediction(self, answer: Answer) -> None:
        predictions, variant = self._model.predictions, answer.variant
        if predictions is None or self._draw >= self._model.recorders.prediction_log_ratio:
            return
        asked = (self._request_id, self._at_ns, self._door)
        rows = (answer.batch, answer.first, answer.answers)
        predictions.append(Entry(*asked, variant.name, variant.semantic_version, variant.digest, *rows))

    def _describe(self, duration_ns: int) -> dict[str, object]:
        fields: dict[str, object] = {"request_id": self._request_id, "door": self._door, "model": self._model.name}
        if self.trace_id is not None:
            fields["trace_id"] = self.trace_id
        if self._span is not None:
            fields["span_id"] = format_span_id(self._span.get_span_context().span_id)
        return fields | {"duration_ms": round(duration_ns / _NANOSECONDS_IN_MS, 3)}
