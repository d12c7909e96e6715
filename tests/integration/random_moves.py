"""Ten releases with features of their own and three wires in one registry, and random moves between them under load."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
from google.protobuf.message_factory import GetMessageClass
from integration.load import Answered, Load, Period
from integration.mixed_load import Asked
from integration.service import PROJECT, Service
from integration.versions import Versions, follows
from prepared.place import copy_prepared
from support.feature_sets import FAR, USUAL, WITH_GATE, make_release_by
from support.processes import wait_until
from support.wires import add_column, widen

from athanor.client.client import Client, connect
from athanor.contract.messages import to_columns
from athanor.contract.v1 import options_pb2
from athanor.contract.validation import validate
from athanor.registry.history import champion_before
from athanor.registry.registry import Registry
from athanor.release.files import Release
from athanor.release.predictor import Predictor
from athanor.release.traffic import Traffic
from delays.v1 import delays_pb2
from projects.delays.model import MODEL

_PATIENCE_S: Final = 240.0
_WEIGHTS: Final = (0.3, 0.5, 0.7)
_MOST_PINNED: Final = 3
_WHY: Final = "for a test"
_LONGEST: Final = MODEL.contract.column("distance").maximum
_FAR: Final = _LONGEST + 500
_WIDER: Final = widen(_LONGEST + 1_000)
WIRES: Final = (MODEL.contract, _WIDER, add_column("gate", _WIDER, roles=[options_pb2.ROLE_FEATURE]))
"""Each allows the rows of those before it: the usual one, one with longer distances, one with a gate too."""


def make_ten(path: Any) -> tuple[Versions, dict[str, int]]:
    """The prepared home with nine more releases, and the number of each version's wire."""
    home = copy_prepared(path)
    registry = Registry.open(home)
    wires = {registry.list_versions(PROJECT)[0].semantic_version: 0}
    for number, of_wire in enumerate((USUAL, FAR, WITH_GATE)):
        for features in of_wire:
            release = make_release_by(home.candidates / PROJECT, WIRES[number], features)
            wires[registry.register(release)[0].semantic_version] = number
    return Versions(home, registry, tuple(wires)), wires


def make_rows(flights: Sequence[delays_pb2.Flight]) -> list[Asked]:
    """Half of the flights as they are, a quarter too long for the usual wire, a quarter with a gate."""
    return [make_row(flight, max(0, position % 4 - 1), position) for position, flight in enumerate(flights)]


def make_row(flight: delays_pb2.Flight, needs: int, position: int) -> Asked:
    row: Any = GetMessageClass(WIRES[needs].row).FromString(flight.SerializeToString())
    if needs == 1 or (needs and position % 8 > 4):
        row.distance = _FAR + position
    if needs == 2:
        row.gate = "C9" if position % 3 else "A1"
    return Asked.make(needs, WIRES[needs], row)


def compute_alone(release: Release, rows: Sequence[Asked]) -> list[float]:
    """What a release answers, computed in this process by its own contract; NaN for rows that this does not allow."""
    predictor = Predictor(release)
    row_class, declared = GetMessageClass(predictor.contract.row), predictor.contract.columns
    columns = to_columns(declared, [row_class.FromString(asked.row.SerializeToString()) for asked in rows])
    answers: list[float] = predictor.predict(columns)[predictor.contract.prediction.name].tolist()
    for breach in validate(declared, columns):
        for row in breach.rows:
            answers[row] = np.nan
    return answers


class RandomMoves:
    """Moves the traffic of a service, one move after another.

    Attributes:
        periods: what callers may have been answered by.
        named: answers of pinned versions to calls that named them, one of each after each move.
        done: how often each kind of move was made.
        pick_ups_s: of each move, from its publication until every replica answered by it.
    """

    def __init__(self, service: Service, versions: Versions, load: Load, seed: int) -> None:
        self.periods = [Period(_answering(versions.traffic), time.monotonic() - 1)]
        self.named: list[Answered] = []
        self.done = Counter[str]()
        self.pick_ups_s: list[float] = []
        self._service = service
        self._versions = versions
        self._load = load
        self._random = random.Random(seed)  # noqa: S311 - it is to be predictable
        self._chosen = Counter[str]()

    def move(self, replicas: int) -> None:
        """Makes a move, and returns when so many replicas follow and callers were answered by each release."""
        kind, change = self._random.choice(self._list_moves())
        began = time.monotonic()
        moved = self._versions.move(self._service, change)
        self.pick_ups_s.append(moved.pick_up_s)
        # One that starts may have read the traffic of before.
        assert wait_until(lambda: self._follow(replicas, moved.traffic), _PATIENCE_S), self._service.replicas
        self.periods[-1] = Period(self.periods[-1].versions, self.periods[-1].begins, time.monotonic())
        self.periods.append(Period(_answering(moved.traffic), began))
        self.done[kind] += 1
        self._wait_for_answers_of(self.periods[-1].versions)
        self._ask_pinned(moved.traffic)

    def _ask_pinned(self, traffic: Traffic) -> None:
        with connect(self._service.grpc, home=self._service.home.path) as connection:
            client = Client(PROJECT, connection)
            for served in traffic.pinned:
                row = self._random.choice([row for row, asked in enumerate(self._load.rows) if not asked.needs])
                began, version = time.monotonic(), served.semantic_version
                response = client.predict([self._load.rows[row].flight], semantic_version=version)
                (prediction,), digest = response.predictions, response.release_digest
                assert response.semantic_version == version
                self.named.append(Answered(row, began, time.monotonic(), version, prediction.late_probability, digest))

    def _follow(self, replicas: int, traffic: Traffic) -> bool:
        return len(self._service.replicas) == replicas and follows(self._service, traffic)

    def kill_a_replica(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(min(replica.pid for replica in self._service.replicas), signal.SIGKILL)

    def _list_moves(self) -> list[tuple[str, Callable[[], Traffic]]]:
        """Every kind of move that changes the present traffic."""
        registry, traffic = self._versions.registry, self._versions.traffic
        roles = {served.semantic_version for served in traffic.served.values()}
        free = [number for number in self._versions.numbers if number not in roles]
        others = [*free, *roles - {traffic.require_champion().semantic_version}]
        moves: dict[str, Callable[[], Traffic]] = {
            "promote": lambda: registry.promote(PROJECT, self._pick(others), _WHY),
            "challenge": lambda: registry.challenge(PROJECT, self._pick(free), self._random.choice(_WEIGHTS), _WHY),
            "shadow": lambda: registry.shadow(PROJECT, self._random.choice(free), _WHY),
        }
        pinned = [served.semantic_version for served in traffic.pinned]
        if len(pinned) < _MOST_PINNED:
            unpinned = sorted({*self._versions.numbers} - {*pinned})
            moves["pin"] = lambda: registry.pin(PROJECT, self._random.choice(unpinned), _WHY)
        if pinned:
            moves["unpin"] = lambda: registry.unpin(PROJECT, self._random.choice(pinned), _WHY)
        if champion_before(registry.list_moves(PROJECT)):
            moves["rollback"] = lambda: registry.rollback(PROJECT, _WHY)
        if traffic.challenger:
            moves["withdraw challenger"] = lambda: registry.withdraw(PROJECT, "challenger", _WHY)
        if traffic.shadow:
            moves["withdraw shadow"] = lambda: registry.withdraw(PROJECT, "shadow", _WHY)
        return list(moves.items())

    def _pick(self, versions: Sequence[str]) -> str:
        """A version that was chosen least often to answer."""
        least = min(self._chosen[number] for number in versions)
        number = self._random.choice(sorted(number for number in versions if self._chosen[number] == least))
        self._chosen[number] += 1
        return number

    def _wait_for_answers_of(self, versions: frozenset[str]) -> None:
        began, first = time.monotonic(), len(self._load.answers)

        def have_answered() -> bool:
            return versions <= {answer.version for answer in self._load.answers[first:] if answer.began > began}

        assert wait_until(have_answered, _PATIENCE_S), versions


def _answering(traffic: Traffic) -> frozenset[str]:
    return frozenset(served.semantic_version for variant, served in traffic.served.items() if variant != "shadow")
