"""The models that a replica answers for, each with all that answers its requests."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from athanor.contract.shown import shown
from athanor.errors import ModelNotFoundError
from athanor.serving.answering.batching.batcher import Batcher
from athanor.serving.answering.batching.capacity import Capacity, Share
from athanor.serving.answering.core import Core
from athanor.serving.answering.interface import Interface
from athanor.serving.doors.models.shadow import Shadow, ShadowRoom
from athanor.serving.setup.settings import ServingSettings
from athanor.serving.telemetry.model import ModelTelemetry
from athanor.serving.telemetry.telemetry import Telemetry

# Names in a refusal.
_MOST_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model of a replica."""

    core: Core
    batcher: Batcher
    shadow: Shadow
    telemetry: ModelTelemetry

    @property
    def name(self) -> str:
        return self.core.model

    @property
    def interface(self) -> Interface:
        """What its requests are read by, and its answers written. The next request may have another."""
        return self.core.interface

    def close(self) -> None:
        """Records what it still holds."""
        self.shadow.close()
        self.telemetry.close()


class ServedModels:
    """The models of a replica by name. They change at any moment, on any thread.

    Attributes:
        capacity: which they share.
        unnamed: what requests hold of it that have not named their model yet.
    """

    def __init__(self, telemetry: Telemetry, settings: ServingSettings) -> None:
        self.capacity = Capacity(settings.max_in_flight)
        self.unnamed = Share(self.capacity)
        self._telemetry = telemetry
        self._limits = settings.max_in_flight_by_model
        self._shadows = ShadowRoom()
        self._lock = threading.Lock()
        # Replaced as a whole: requests look without the lock.
        self._by_name: Mapping[str, ServedModel] = {}
        self._by_path: Mapping[str, ServedModel] = {}

    def __iter__(self) -> Iterator[ServedModel]:
        """In alphabetical order."""
        return iter(self._by_name.values())

    def get(self, name: str) -> ServedModel | None:
        """The model of that name, if there is one."""
        return self._by_name.get(name)

    def find(self, name: str) -> ServedModel:
        """The model of that name; for "" the only one.

        Raises:
            ModelNotFoundError: there is no such model, or the request names none of several.
        """
        if found := self._by_name.get(name):
            return found
        known = [*self._by_name]
        if not name and len(known) == 1:
            return self._by_name[known[0]]
        raise self.not_found(f"model {shown(name)} is not served here" if name else "name a model")

    def not_found(self, why: str) -> ModelNotFoundError:
        """The error for a request that no model answers; names those that are served."""
        known = [*self._by_name]
        more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
        served = f"{', '.join(map(repr, known[:_MOST_NAMED]))}{more}" if known else "no model"
        return ModelNotFoundError(f"{why}; served: {served}")

    def is_ready(self, name: str, version: str) -> bool:
        """Whether the service answers for a model, or for a version of it."""
        model = self._by_name.get(name)
        return model is not None and (not version or version in model.core.traffic.by_version)

    def find_path(self, path: str) -> ServedModel | None:
        """The model whose own method has that path, as gRPC names methods."""
        return self._by_path.get(path)

    def put(self, core: Core) -> ServedModel:
        """Takes a model up, or the newer interface of one that is there."""
        with self._lock:
            model = self._by_name.get(core.model)
            if model is None:
                model = self._make(core)
                self.capacity.add_model(1)
                self._shadows.add_model(1)
            else:
                model.telemetry.follow(core.interface.contract)
            self._replace({**self._by_name, core.model: model})
            return model

    def remove(self, name: str) -> ServedModel | None:
        """Lets a model go: new requests for it are refused. Returns it, for what was accepted before."""
        with self._lock:
            model = self._by_name.get(name)
            if model:
                self.capacity.add_model(-1)
                self._shadows.add_model(-1)
                self._replace({key: other for key, other in self._by_name.items() if key != name})
            return model

    def _make(self, core: Core) -> ServedModel:
        telemetry = self._telemetry.model(core.interface.contract)
        share = Share(self.capacity, core.model, self._limits.get(core.model))
        shadow = Shadow(core, telemetry.shadow_dropped, self._shadows)
        return ServedModel(core, Batcher(core, share), shadow, telemetry)

    def _replace(self, models: Mapping[str, ServedModel]) -> None:
        self._by_name = dict(sorted(models.items()))
        self._by_path = {path_of(model.interface): model for model in models.values()}

    def close(self) -> None:
        for model in self:
            model.close()
        self.capacity.threads.close()


def path_of(interface: Interface) -> str:
    """The contract's own method, as gRPC names it."""
    predict = interface.contract.predict
    return f"/{predict.containing_service.full_name}/{predict.name}"
