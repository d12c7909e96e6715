"""What is remembered of each request: metrics always, a trace, a log line and its predictions where they are sampled.

One request costs the one who answers it a few microseconds. All that can wait is done in the background.
"""

import atexit
import logging
import threading
import time
from pathlib import Path
from random import random
from typing import Final

import numpy as np
from numpy.typing import NDArray
from opentelemetry.trace import Span, format_trace_id

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.errors import AthanorError, FieldViolation, InvalidRequestError
from athanor.serving.setup.paths import ServicePlace, process_name
from athanor.serving.setup.settings import ServingSettings
from athanor.serving.telemetry.logs import RequestLog, close_log, open_log
from athanor.serving.telemetry.metrics import Metrics
from athanor.serving.telemetry.prediction_log import PredictionLog
from athanor.serving.telemetry.prediction_rows import Entry
from athanor.serving.telemetry.spans import RequestSpans
from athanor.serving.telemetry.tracing import Tracing, parse_traceparent

_FLUSH_S: Final = 0.5
_SHADOW: Final = "shadow"
_NANOSECONDS_IN_MS: Final = 1e6
_NONE: Final = np.empty(0)

_logger = logging.getLogger(__name__)


class Telemetry:
    """The telemetry of one replica."""

    def __init__(self, settings: ServingSettings, contract: Contract) -> None:
        """Raises SettingsError if the prediction log cannot be written, or traces cannot be sent as they should."""
        self._trace_ratio = settings.trace_ratio
        self._access_log_ratio = settings.access_log_ratio
        self._prediction_log_ratio = settings.prediction_log_ratio
        tracing = Tracing.from_environment(contract.name)
        self._spans = None if tracing is None else RequestSpans(tracing, contract)
        kept_in = settings.prediction_log
        self._predictions = None if kept_in is None else PredictionLog(Path(kept_in), contract)
        place = ServicePlace.of(settings)
        self._log_handler = open_log(place.log)
        self._requests = RequestLog(column.name for column in contract.columns)
        self._metrics = Metrics(place.metrics, process_name())
        self._failing = False
        self._closing = threading.Event()
        self._flusher = threading.Thread(target=self._keep_flushing, name="telemetry", daemon=True)
        self._flusher.start()
        atexit.register(self.close)

    def begin(self, door: str, request_id: str, traceparent: str | None) -> "Observation":
        """A request has come.

        Args:
            door: by which it came.
            traceparent: W3C's header; what is not valid is as if it were not there.
        """
        return Observation(self, door, request_id, traceparent)

    def loaded(self, variant: str, semantic_version: str, digest: str, seconds: float, revision: int) -> None:
        """A release answers from now on; to be told of each that a revision of the traffic file names."""
        self._metrics.loaded(variant, semantic_version, digest, seconds, revision)

    def load_failed(self, revision: int, error: AthanorError) -> None:
        """A traffic file could not be followed; the one of this revision stays."""
        self._metrics.load_failed()

    def shadow_dropped(self) -> None:
        """The shadow had no time for a request."""
        self._metrics.shadow_dropped()

    def render_metrics(self) -> tuple[bytes, str]:
        """The metrics of all replicas of this machine, and their media type. Reads files: not for an event loop."""
        self._count_predictions()
        return self._metrics.render()

    def close(self) -> None:
        """Writes and sends what is held. A second call does nothing."""
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
            _logger.error("the last metrics of this replica are lost: %s", error)
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
                # A full disk, most likely. Other replicas do not see what this one counts; it loses nothing itself.
                if not self._failing:
                    _logger.exception("metrics are not shared with other replicas: %s", error)
                self._failing = True
            else:
                self._failing = False

    def _count_predictions(self) -> None:
        if self._predictions:
            self._metrics.logged(self._predictions.written, self._predictions.dropped)


class Observation:
    """One request. Either `answered` or `refused` is called, once.

    Attributes:
        trace_id: of the trace that it belongs to, in hexadecimal; None if it belongs to none.
        probabilities: that were answered; empty before that, and if it was refused.
    """

    __slots__ = (
        "_at_ns",
        "_door",
        "_draw",
        "_request_id",
        "_span",
        "_started_ns",
        "_telemetry",
        "probabilities",
        "trace_id",
    )

    def __init__(self, telemetry: Telemetry, door: str, request_id: str, traceparent: str | None) -> None:
        self._telemetry = telemetry
        self._door = door
        self._request_id = request_id
        # One draw for all that is sampled: what is in a smaller sample is in each larger one.
        self._draw = random()  # noqa: S311 - nobody gains by foreseeing it
        self._at_ns = time.time_ns()
        self._started_ns = time.perf_counter_ns()
        self._span: Span | None = None
        self.probabilities = _NONE
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

    def answered(  # noqa: PLR0913, PLR0917 - what an answer is, without an object made for each
        self,
        variant: str,
        semantic_version: str,
        digest: str,
        columns: Columns | None,
        first: int,
        count: int,
        probabilities: NDArray[np.float64],
        model_started_ns: int,
        model_ended_ns: int,
    ) -> None:
        """It was answered.

        Args:
            columns: that its rows, `first` to `first + count`, stand in; they are kept and must not be changed. None
                where its rows are not to be kept.
            probabilities: of shape (count,), in the order of the rows.
            model_started_ns, model_ended_ns: when the model computed, nanoseconds since 1970.
        """
        telemetry = self._telemetry
        duration_ns = time.perf_counter_ns() - self._started_ns
        self.probabilities = probabilities
        telemetry._metrics.answered(self._door, variant, semantic_version, duration_ns, probabilities)
        self._keep(variant, semantic_version, digest, columns, first, probabilities)
        if self._draw < telemetry._access_log_ratio:
            telemetry._requests.answered(
                **self._named(duration_ns), rows=count, variant=variant, version=semantic_version
            )
        if self._span is not None and telemetry._spans is not None:
            telemetry._spans.end_answered(
                self._span, variant, semantic_version, digest, count, model_started_ns, model_ended_ns
            )

    def refused(self, error: AthanorError) -> None:
        """It was not answered, for whatever reason."""
        telemetry = self._telemetry
        duration_ns = time.perf_counter_ns() - self._started_ns
        violations: tuple[FieldViolation, ...] = error.violations if isinstance(error, InvalidRequestError) else ()
        telemetry._metrics.refused(self._door, error.code, duration_ns, violations)
        telemetry._requests.refused(error, **self._named(duration_ns))
        if self._span is not None and telemetry._spans is not None:
            telemetry._spans.end_refused(self._span, self._door, error)

    def shadowed(
        self,
        semantic_version: str,
        digest: str,
        columns: Columns | None,
        first: int,
        count: int,
        probabilities: NDArray[np.float64],
    ) -> None:
        """The shadow has answered it too, for the log and the metrics alone; after the answer, on any thread.

        Args:
            columns, first, count, probabilities: as of `answered`.
        """
        self._telemetry._metrics.shadowed(semantic_version, self.probabilities, probabilities)
        self._keep(_SHADOW, semantic_version, digest, columns, first, probabilities)

    def _keep(
        self,
        variant: str,
        semantic_version: str,
        digest: str,
        columns: Columns | None,
        first: int,
        probabilities: NDArray[np.float64],
    ) -> None:
        predictions = self._telemetry._predictions
        if predictions is None or columns is None or self._draw >= self._telemetry._prediction_log_ratio:
            return
        asked = (self._request_id, self._at_ns, self._door)
        predictions.append(Entry(*asked, variant, semantic_version, digest, columns, first, probabilities))

    def _named(self, duration_ns: int) -> dict[str, object]:
        named: dict[str, object] = {"request_id": self._request_id, "door": self._door}
        if self.trace_id is not None:
            named["trace_id"] = self.trace_id
        if self._span is not None:
            named["span_id"] = f"{self._span.get_span_context().span_id:016x}"
        return named | {"duration_ms": round(duration_ns / _NANOSECONDS_IN_MS, 3)}
