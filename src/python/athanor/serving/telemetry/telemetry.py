"""What a replica records of each request: metrics always; a trace, a log line and its predictions by sampling.

Recording a request takes a few microseconds of the thread that answers. The rest happens in the background.
"""

import atexit
import logging
import threading
import time
from pathlib import Path
from random import random
from typing import Final

from opentelemetry.trace import Span, format_span_id, format_trace_id

from athanor.contract.contract import Contract
from athanor.errors import AthanorError, violations_of
from athanor.serving.answering.batcher import Computed
from athanor.serving.answering.prepared import Answer
from athanor.serving.setup.paths import ServicePaths, process_name
from athanor.serving.setup.settings import ServingSettings
from athanor.serving.telemetry.logs import RequestLog, close_log, open_log
from athanor.serving.telemetry.metrics import Metrics
from athanor.serving.telemetry.prediction_log import PredictionLog
from athanor.serving.telemetry.prediction_rows import Entry
from athanor.serving.telemetry.spans import RequestSpans
from athanor.serving.telemetry.tracing import Tracing, parse_traceparent

_FLUSH_S: Final = 0.5
_NANOSECONDS_IN_MS: Final = 1e6

_logger = logging.getLogger(__name__)


class Telemetry:
    """The telemetry of one replica."""

    def __init__(self, settings: ServingSettings, contract: Contract) -> None:
        """Raises SettingsError if the prediction log cannot be written, or the protocol of the traces is unknown."""
        self._trace_ratio = settings.trace_ratio
        self._access_log_ratio = settings.access_log_ratio
        self._prediction_log_ratio = settings.prediction_log_ratio
        self._tracing = Tracing.from_environment(contract.name)
        self._spans = None if self._tracing is None else RequestSpans(self._tracing, contract)
        folder = settings.prediction_log
        self._predictions = None if folder is None else PredictionLog(Path(folder), contract)
        place = ServicePaths.of(settings)
        self._log_handler = open_log(place.log)
        self._requests = RequestLog(column.name for column in contract.columns)
        self._metrics = Metrics(place.metrics, process_name())
        self._failing = False
        self._closing = threading.Event()
        self._flusher = threading.Thread(target=self._keep_flushing, name="telemetry", daemon=True)
        self._flusher.start()
        atexit.register(self.close)

    def follow(self, contract: Contract) -> None:
        """Uses a newer contract of the model from now on."""
        self._requests.name(column.name for column in contract.columns)
        if self._predictions:
            self._predictions.follow(contract)
        if self._tracing:
            self._spans = RequestSpans(self._tracing, contract)

    def begin(self, door: str, request_id: str, traceparent: str | None) -> "Observation":
        """Starts to observe a request.

        Args:
            door: at which it arrived.
            traceparent: W3C's header; an invalid one is ignored.
        """
        return Observation(self, door, request_id, traceparent)

    def loaded(self, variant: str, semantic_version: str, digest: str, seconds: float, revision: int) -> None:
        """A release takes part in the traffic from now on. Call it for each release of a traffic file's revision."""
        self._metrics.loaded(variant, semantic_version, digest, seconds, revision)

    def load_failed(self) -> None:
        """A traffic file could not be loaded; the last one stays."""
        self._metrics.load_failed()

    def shadow_dropped(self) -> None:
        """A request has no answer of the shadow: it fell behind, or failed."""
        self._metrics.shadow_dropped()

    @property
    def in_flight(self) -> int:
        """Requests of this replica that are neither answered nor refused yet."""
        return self._metrics.in_flight

    def render_metrics(self) -> tuple[bytes, str]:
        """The metrics of all replicas on this machine, and their media type. Reads files: call it in a thread."""
        self._count_predictions()
        return self._metrics.render()

    def close(self) -> None:
        """Writes and sends everything that waits. A second call does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        atexit.unregister(self.close)
        self._flusher.join()
        if self._predictions:
            self._predictions.close()
        self._count_predictions()
        self._requests.report_suppressed()
        if self._spans:
            self._spans.close()
        try:
            self._metrics.close()
        except OSError as error:
            _logger.error("cannot write the last metrics of this replica: %s", error)
        close_log(self._log_handler)

    def _keep_flushing(self) -> None:
        turn = 0
        while not self._closing.wait(_FLUSH_S):
            turn += 1
            if turn % 2:
                self._requests.report_suppressed()
            self._count_predictions()
            try:
                self._metrics.flush()
            except Exception as error:
                # A full disk, most likely. This replica loses no count, but the others do not see it.
                if not self._failing:
                    _logger.exception("cannot share metrics with the other replicas: %s", error)
                self._failing = True
            else:
                self._failing = False

    def _count_predictions(self) -> None:
        if self._predictions:
            self._metrics.logged(self._predictions.written, self._predictions.dropped)


class Observation:
    """One request, observed until it is `answered` or `refused`: call one of them, once.

    Attributes:
        trace_id: of the request's trace, in hexadecimal; None without a trace.
    """

    __slots__ = ("_at_ns", "_door", "_draw", "_request_id", "_span", "_started_ns", "_telemetry", "trace_id")

    def __init__(self, telemetry: Telemetry, door: str, request_id: str, traceparent: str | None) -> None:
        self._telemetry = telemetry
        self._door = door
        self._request_id = request_id
        # One draw for all samples: a smaller sample is a part of each larger one.
        self._draw = random()  # noqa: S311 - foreseeing it gains an attacker nothing
        self._at_ns = time.time_ns()
        self._started_ns = time.perf_counter_ns()
        self._span: Span | None = None
        self.trace_id: str | None = None
        telemetry._metrics.begun()
        parent = parse_traceparent(traceparent) if traceparent else None
        if parent is not None:
            self.trace_id = format_trace_id(parent.trace_id)
        spans = telemetry._spans
        if spans is not None and (
            parent.trace_flags.sampled if parent is not None else self._draw < telemetry._trace_ratio
        ):
            self._span = spans.start(door, request_id, parent)
            self.trace_id = format_trace_id(self._span.get_span_context().trace_id)

    def answered(self, computed: Computed) -> None:
        """The answer is written, and about to be sent."""
        telemetry, answer = self._telemetry, computed.answer
        name, version = answer.variant.name, answer.variant.semantic_version
        duration_ns = time.perf_counter_ns() - self._started_ns
        telemetry._metrics.answered(self._door, name, version, duration_ns, answer.probabilities)
        if answer.is_redirected:
            telemetry._metrics.redirected()
        self._log_prediction(answer)
        if self._draw < telemetry._access_log_ratio:
            telemetry._requests.answered(
                **self._describe(duration_ns), rows=answer.count, variant=name, version=version
            )
        if self._span is not None and telemetry._spans is not None:
            times = computed.started_ns, computed.ended_ns
            telemetry._spans.end_answered(self._span, name, version, answer.variant.digest, answer.count, *times)

    def refused(self, error: AthanorError) -> None:
        """The caller gets an error, or went away."""
        telemetry = self._telemetry
        duration_ns = time.perf_counter_ns() - self._started_ns
        telemetry._metrics.refused(self._door, error.code, duration_ns, violations_of(error))
        telemetry._requests.refused(error, **self._describe(duration_ns))
        if self._span is not None and telemetry._spans is not None:
            telemetry._spans.end_refused(self._span, self._door, error)

    def shadowed(self, answered: Answer, shadow: Answer) -> None:
        """The shadow has answered too, after `answered` and on any thread: for the prediction log and the metrics."""
        self._telemetry._metrics.shadowed(shadow.variant.semantic_version, answered.probabilities, shadow.probabilities)
        self._log_prediction(shadow)

    def _log_prediction(self, answer: Answer) -> None:
        predictions, variant = self._telemetry._predictions, answer.variant
        if predictions is None or self._draw >= self._telemetry._prediction_log_ratio:
            return
        asked = (self._request_id, self._at_ns, self._door)
        rows = (answer.batch, answer.first, answer.probabilities)
        predictions.append(Entry(*asked, variant.name, variant.semantic_version, variant.digest, *rows))

    def _describe(self, duration_ns: int) -> dict[str, object]:
        fields: dict[str, object] = {"request_id": self._request_id, "door": self._door}
        if self.trace_id is not None:
            fields["trace_id"] = self.trace_id
        if self._span is not None:
            fields["span_id"] = format_span_id(self._span.get_span_context().span_id)
        return fields | {"duration_ms": round(duration_ns / _NANOSECONDS_IN_MS, 3)}
