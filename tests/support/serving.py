"""Questions, and a store whose traffic a test directs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from support.flights import make_flight
from support.releases import make_files, make_release

from athanor.contract.columns import Columns
from athanor.release.graph import FeatureArrays
from athanor.release.predictor import Predictor
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Challenger, Served, Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.interface import Interface, Question
from athanor.serving.answering.loading import Loader
from athanor.serving.formats import typed
from delays.v1 import delays_pb2
from projects.delays.model import MODEL

# Each release answers 0.5 at another distance, so that an answer identifies its release.
VERSIONS: Final = {1_000.0: "1.0.0", 2_000.0: "2.0.0", 3_000.0: "3.0.0"}
FIRST, SECOND, THIRD = VERSIONS


class Stage:
    """A store with the releases of `VERSIONS`, and the traffic among them."""

    def __init__(self, folder: Path) -> None:
        self.store = ReleaseStore(folder / "store")
        self.releases = {middle: make_release(folder / "candidates", make_files(middle)) for middle in VERSIONS}
        for release in self.releases.values():
            self.store.publish(release)
        self._revision = 0

    def direct(
        self,
        champion: float = FIRST,
        challenger: float | None = None,
        weight: float = 0.5,
        shadow: float | None = None,
        pinned: Sequence[float] = (),
    ) -> Traffic:
        """Writes the next traffic file. A release is named by the distance at which it answers 0.5."""
        self._revision += 1
        traffic = Traffic(
            model=MODEL.name,
            revision=self._revision,
            champion=self._serve(champion),
            challenger=Challenger(**self._serve(challenger).model_dump(), weight=weight) if challenger else None,
            shadow=self._serve(shadow) if shadow else None,
            pinned=tuple(map(self._serve, pinned)),
        )
        self.store.write_traffic(traffic)
        return traffic

    def core(self, max_rows: int = 50) -> Core:
        return Core(Loader(MODEL.name, self.store, max_rows))

    def path(self, middle: float, file: str) -> Path:
        """A file of a release in the store."""
        return Path(self.store.location, "releases", MODEL.name, self.releases[middle].digest, file)

    def _serve(self, middle: float) -> Served:
        return Served(digest=self.releases[middle].digest, semantic_version=VERSIONS[middle])


def reading_core(max_rows: int = 10_000) -> Core:
    """A core that only reads requests: it loads no release."""
    core = Core.__new__(Core)
    core.traffic = SimpleNamespace(interface=Interface(MODEL.contract, max_rows))  # type: ignore[assignment]
    return core


class WatchedPredictor(Predictor):
    """Calls a test before each run, with the columns; the test may wait there, or fail."""

    def __init__(self, predictor: Predictor, before: Callable[[Columns], object]) -> None:
        vars(self).update(vars(predictor))
        self._before = before

    def predict(self, columns: Columns) -> Columns:
        self._before(columns)
        return super().predict(columns)

    def predict_with_features(self, columns: Columns) -> tuple[Columns, FeatureArrays]:
        self._before(columns)
        return super().predict_with_features(columns)


def watch_champion(core: Core, before: Callable[[int], object]) -> None:
    """Calls a test before each run of the champion, with the number of rows."""
    watch_columns(core, lambda columns: before(len(columns["distance"])))


def watch_columns(core: Core, before: Callable[[Columns], object]) -> None:
    """Calls a test before each run of the champion, with the columns."""
    champion = core.traffic.champion
    watched = replace(champion, predictor=WatchedPredictor(champion.predictor, before))
    core.traffic = replace(core.traffic, champion=watched)


def make_request(*flights: delays_pb2.Flight, **fields: str) -> delays_pb2.PredictRequest:
    return delays_pb2.PredictRequest(flights=flights, **fields)


def ask(core: Core, *flights: delays_pb2.Flight, **fields: str) -> Question:
    """A question about the contract's messages; about one valid flight by default."""
    return typed.to_question(core.interface, make_request(*(flights or (make_flight(),)), **fields))


def predict(core: Core, request: delays_pb2.PredictRequest, request_id: str = "id") -> Any:
    """The response of a typed door, without the door."""
    question = typed.to_question(core.interface, typed.parse(core.interface, request.SerializeToString()))
    return typed.to_response(core.interface, core.answer(question), request_id)
