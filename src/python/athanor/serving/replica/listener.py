"""What a replica does when a model is loaded, fails to load or leaves."""

import logging
import threading
import time
from typing import Final

from athanor.errors import AthanorError
from athanor.serving.answering.core import Core
from athanor.serving.answering.interface import Interface
from athanor.serving.doors.grpc import report_model
from athanor.serving.doors.models.served import ServedModel, ServedModels
from athanor.serving.replica.status import StatusFolder
from athanor.serving.telemetry.telemetry import Telemetry

_POLL_S: Final = 0.05

_logger = logging.getLogger(__name__)


class ReplicaListener:
    """Lets the doors, health, telemetry, status and log of a replica know of its models. Calls come on any thread."""

    def __init__(self, models: ServedModels, telemetry: Telemetry, statuses: StatusFolder) -> None:
        self._models = models
        self._telemetry = telemetry
        self._statuses = statuses
        self._interfaces: dict[str, Interface] = {}
        self._retiring: list[threading.Thread] = []

    def on_loaded(self, core: Core, seconds: float) -> None:
        loaded = core.traffic
        if self._interfaces.get(core.model) is not loaded.interface:
            report_model(self._models.put(core), is_serving=True)
            self._interfaces[core.model] = loaded.interface
        telemetry, revision = self._models.find(core.model).telemetry, loaded.traffic.revision
        for variant in loaded.variants:
            telemetry.loaded(variant.name, variant.semantic_version, variant.digest, seconds, revision)
        self._write_status(core.model, core)
        named = ", ".join(f"{variant.name} {variant.semantic_version}" for variant in loaded.variants)
        _logger.info("serving %s by traffic revision %s: %s", core.model, revision, named)

    def on_failed(self, model: str, error: AthanorError, core: Core | None) -> None:
        self._telemetry.load_failed(model)
        self._write_status(model, core, error)
        if core is None:
            _logger.error("%s cannot be served: %s", model, error)
            return
        what = "without a part of it" if core.traffic.failure is error else "and no newer one"
        _logger.error("serving %s by traffic revision %s, %s: %s", model, core.traffic.traffic.revision, what, error)

    def on_left(self, core: Core) -> None:
        self._interfaces.pop(core.model, None)
        model = self._models.remove(core.model)
        _logger.info("%s was withdrawn; it answers what was accepted", core.model)
        try:
            self._statuses.forget(core.model)
        except OSError as error:
            _logger.error("cannot write the status of this replica: %s", error)
        if model:
            report_model(model, is_serving=False)
            thread = threading.Thread(target=_retire, args=(model,), name="retiring", daemon=True)
            thread.start()
            self._retiring = [*(t for t in self._retiring if t.is_alive()), thread]

    def close(self) -> None:
        """Waits for the models that left. Call it when no request is in flight any more."""
        for thread in self._retiring:
            thread.join()

    def _write_status(self, model: str, core: Core | None, failure: AthanorError | None = None) -> None:
        """A replica that cannot write its status, as on a full disk, answers all the same."""
        try:
            self._statuses.put(model, core.traffic.traffic if core else None, failure)
        except OSError as error:
            _logger.error("cannot write the status of this replica: %s", error)


def _retire(model: ServedModel) -> None:
    while model.telemetry.in_flight:
        time.sleep(_POLL_S)
    model.close()
