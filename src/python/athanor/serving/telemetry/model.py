"""What a replica records of one of its models."""

from dataclasses import dataclass

from athanor.contract.contract import Contract
from athanor.serving.telemetry.logs import RequestLog
from athanor.serving.telemetry.metrics import Metrics
from athanor.serving.telemetry.predictions.log import PredictionLog
from athanor.serving.telemetry.spans import RequestSpans
from athanor.serving.telemetry.tracing import Tracing


@dataclass(frozen=True)
class Recorders:
    """What all models of a replica record with.

    Attributes:
        trace_ratio, access_log_ratio, prediction_log_ratio: as the settings of these names.
    """

    metrics: Metrics
    requests: RequestLog
    tracing: Tracing | None
    predictions: PredictionLog | None
    trace_ratio: float
    access_log_ratio: float
    prediction_log_ratio: float


class ModelTelemetry:
    """The telemetry of one model, from when it begins to answer until it leaves.

    Attributes:
        name: of the model; empty for requests whose model is not known yet.
        recorders, gauges, columns, spans, predictions: for observations alone.
    """

    def __init__(self, recorders: Recorders, contract: Contract | None) -> None:
        """Raises SettingsError if the model cannot have a prediction log."""
        self.recorders = recorders
        self.name = "" if contract is None else contract.name
        self.predictions = None
        if contract is not None and recorders.predictions is not None:
            self.predictions = recorders.predictions.open(contract)
        self.gauges = recorders.metrics.unknown if contract is None else recorders.metrics.open(contract.name)
        self._describe(contract)

    def _describe(self, contract: Contract | None) -> None:
        self.columns = frozenset(() if contract is None else (column.name for column in contract.columns))
        tracing = self.recorders.tracing
        self.spans = None if tracing is None else RequestSpans(tracing, contract)

    def follow(self, contract: Contract) -> None:
        """Uses a newer contract of the model from now on."""
        self._describe(contract)
        if self.predictions is not None:
            self.predictions.follow(contract)

    def loaded(self, variant: str, semantic_version: str, digest: str, seconds: float, revision: int) -> None:
        """A release takes part in the traffic from now on. Call it for each release of a traffic file's revision."""
        self.recorders.metrics.loaded(self.gauges, variant, semantic_version, digest, seconds, revision)

    def shadow_dropped(self) -> None:
        """A request has no answer of the shadow: it fell behind, or failed."""
        self.recorders.metrics.shadow_dropped(self.gauges)

    @property
    def in_flight(self) -> int:
        """Requests of the model that are neither answered nor refused yet."""
        return self.gauges.in_flight

    def close(self) -> None:
        """The model leaves. Returns at once: the rest of its prediction log is written in the background.

        Its gauges vanish, its totals stay. Rows that come later are dropped and counted. A second call does nothing.
        """
        self.recorders.metrics.leave(self.gauges)
        if self.predictions is not None:
            self.predictions.close()
