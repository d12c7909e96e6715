"""A home with several versions of a model that answer differently, and moves between them as a service sees them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from integration.service import PROJECT, Service
from prepared.place import copy_prepared
from support.processes import wait_until
from support.releases import make_files, make_release

from athanor.home import Home
from athanor.registry.registry import Registry
from athanor.release.files import Release
from athanor.release.predictor import Predictor
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from delays.v1 import delays_pb2
from projects.delays.model import MODEL

# Far longer than the two seconds that are promised: a test that measures says how long it took.
_PATIENCE_S: Final = 120.0


@dataclass(frozen=True)
class Versions:
    """Registered versions of the project in a home of a test's own.

    Attributes:
        numbers: semantic versions, in the order in which they were registered; the first is the trained model's.
    """

    home: Home
    registry: Registry
    numbers: tuple[str, ...]

    @classmethod
    def make(cls, path: Any, count: int) -> "Versions":
        """The prepared home with hand-made releases beside the trained one."""
        home = copy_prepared(path)
        registry = Registry.open(home)
        real = registry.list_versions(PROJECT)[0].semantic_version
        others = []
        for number in range(1, count):
            release = make_release(home.candidates / PROJECT, make_files(middle=1_000.0 * number), seed=number)
            others.append(registry.register(release)[0].semantic_version)
        return cls(home, registry, (real, *others))

    @property
    def store(self) -> ReleaseStore:
        return ReleaseStore(self.home.store)

    @property
    def traffic(self) -> Traffic:
        return self.store.read_traffic(PROJECT)

    def read(self, number: str) -> Release:
        return self.store.read(PROJECT, self.registry.find_version(PROJECT, number).digest)

    def compute(self, number: str, rows: Sequence[delays_pb2.Flight]) -> list[float]:
        """What a version answers, computed in this process."""
        core = Core(Loader(MODEL.name, self.store, max_rows=len(rows)))
        question = core.interface.ask_by_messages(rows)
        columns = core.answer(question).batch
        predicted = Predictor(self.read(number)).predict(columns)
        answers: list[float] = predicted[MODEL.contract.prediction.name].tolist()
        return answers

    def move(self, service: Service, change: Callable[[], Traffic]) -> "Moved":
        """Changes the traffic and returns when every replica follows."""
        began = time.monotonic()
        traffic = change()
        published = (self.home.store / "traffic" / f"{PROJECT}.json").stat().st_mtime
        assert wait_until(lambda: follows(service, traffic), _PATIENCE_S), service.replicas
        confirmed = time.monotonic()
        changed = max(status.changed_at for status in service.statuses)
        pick_up_s = (changed - datetime.fromtimestamp(published, UTC)).total_seconds()
        return Moved(traffic, began, confirmed, pick_up_s)


@dataclass(frozen=True)
class Moved:
    """A change of the traffic that was followed.

    Attributes:
        began, confirmed: before it was published, and when every replica had said that it follows; `time.monotonic`.
        pick_up_s: from the traffic file's being there to the last replica's answering by it.
    """

    traffic: Traffic
    began: float
    confirmed: float
    pick_up_s: float


def follows(service: Service, traffic: Traffic) -> bool:
    """Whether every replica answers by a traffic file."""
    statuses = service.statuses
    return bool(statuses) and all(status.traffic == traffic and not status.failure for status in statuses)
