"""What a replica records of each request: metrics always; a trace, a log line and its predictions by sampling.

Recording a request takes a few microseconds of the thread that answers. The rest happens in the background.
"""

import atexit
import logging
import threading
from pathlib import Path
from typing import Final

from athanor.contract.contract import Contract
from athanor.serving.setup.paths import ServicePaths, process_name
from athanor.serving.setup.settings import ServingSettings
from athanor.serving.telemetry.logs import RequestLog, close_log, open_log
from athanor.serving.telemetry.metrics import Metrics
from athanor.serving.telemetry.model import ModelTelemetry, Recorders
from athanor.serving.telemetry.observation import Observation
from athanor.serving.telemetry.predictions.log import PredictionLog
from athanor.serving.telemetry.tracing import Tracing

_FLUSH_S: Final = 0.5

_logger = logging.getLogger(__name__)


class Telemetry:
    """The telemetry of one replica, for all of its models."""

    def __init__(self, settings: ServingSettings) -> None:
        """Raises SettingsError if the prediction log cannot be written, or the protocol of the traces is unknown."""
        self._tracing = Tracing.from_environment(settings.service)
        folder = settings.prediction_log
        self._predictions = None if folder is None else PredictionLog(Path(folder))
        place = ServicePaths.of(settings)
        self._log_handler = open_log(place.log)
        self._requests = RequestLog()
        self._metrics = Metrics(place.metrics, process_name())
        ratios = settings.trace_ratio, settings.access_log_ratio, settings.prediction_log_ratio
        self._recorders = Recorders(self._metrics, self._requests, self._tracing, self._predictions, *ratios)
        self._unknown = ModelTelemetry(self._recorders, None)
        self._failing = False
        self._closing = threading.Event()
        self._flusher = threading.Thread(target=self._keep_flushing, name="telemetry", daemon=True)
        self._flusher.start()
        atexit.register(self.close)

    def model(self, contract: Contract) -> ModelTelemetry:
        """Begins to record a model, on any thread, until it is closed. A model may come back: its totals go on.

        Raises:
            SettingsError: the folder of its prediction log cannot be written, or a column has a name of the log's own.
        """
        return ModelTelemetry(self._recorders, contract)

    def begin(self, door: str, request_id: str, traceparent: str | None, model: ModelTelemetry | None) -> Observation:
        """Starts to observe a request.

        Args:
            door: at which it arrived.
            traceparent: W3C's header; an invalid one is ignored.
            model: that is asked; None if it is not known yet, or is not one of this service's.
        """
        return Observation(model or self._unknown, door, request_id, traceparent)

    def load_failed(self, model: str) -> None:
        """A model's traffic file could not be loaded; the last one stays, if there is one."""
        self._metrics.load_failed(model)

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
        if self._tracing:
            self._tracing.close()
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
            for name, counts in self._predictions.counts.items():
                self._metrics.logged(name, counts.written, counts.dropped)
