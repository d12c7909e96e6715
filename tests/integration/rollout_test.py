"""Releases, replicas and the proxy change under load: no call is lost, and none answered by what takes no traffic."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from integration.load import Answered, Load, Period, find_strangers, find_wrong
from integration.service import PROJECT, Service, running_service
from integration.versions import Moved, Versions, follows
from support.commands import run
from support.processes import nothing_survives, wait_until

from athanor.client.connection.retries import RetryPolicy
from athanor.release.answers import TOLERANCE
from delays.v1 import delays_pb2

Flights = list[delays_pb2.Flight]

_CALLS_PER_S: Final = 150.0
_PICK_UP_S: Final = 2.0
_PATIENCE_S: Final = 240.0
_MOVES: Final = 10
_SHOWN: Final = 5


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    return Versions.make(tmp_path_factory.mktemp("rollout") / "home", 2)


@pytest.fixture(scope="module")
def running(versions: Versions) -> Iterator[Service]:
    with nothing_survives(), running_service(versions.home) as service:
        yield service


class _Rollout:
    """What is done to a service under load, and what was measured of it."""

    def __init__(self, service: Service, versions: Versions, load: Load) -> None:
        self._service = service
        self._versions = versions
        self._load = load
        self.periods = [Period(frozenset({versions.traffic.require_champion().semantic_version}), time.monotonic() - 1)]
        self.moves: list[Moved] = []
        self.told: list[str] = []

    def move(self) -> None:
        """Promotes the second version, or rolls back to the first."""
        first, second = self._versions.numbers
        registry = self._versions.registry
        is_first = self._versions.traffic.require_champion().semantic_version == first
        moved = self._versions.move(
            self._service,
            lambda: (
                registry.promote(PROJECT, second, "for a test")
                if is_first
                else registry.rollback(PROJECT, "for a test")
            ),
        )
        self.moves.append(moved)
        self.periods[-1] = replace(self.periods[-1], ends=moved.confirmed)
        self.periods.append(Period(frozenset({moved.traffic.require_champion().semantic_version}), moved.began))
        # By what was promoted, so that each move is seen by callers too.
        self._load.wait_for_answers(5)

    def scale(self, replicas: int) -> None:
        began = time.monotonic()
        scaled = run("serving", "scale", PROJECT, replicas, "--home", self._service.home.path)
        assert scaled.returncode == 0, scaled.stderr
        assert len(self._service.replicas) == replicas
        self._tell(f"scaled to {replicas}", began)

    def kill_a_replica(self) -> None:
        before = {replica.pid for replica in self._service.replicas}
        began = time.monotonic()
        os.kill(min(before), signal.SIGKILL)
        answered_s = self._load.wait_for_answers(5)

        def is_replaced() -> bool:
            now = {replica.pid for replica in self._service.replicas}
            return len(now) == len(before) and min(before) not in now

        assert wait_until(is_replaced, _PATIENCE_S)
        self._tell(f"a replica of {len(before)} was killed; answered after {answered_s:.2f} s, replaced", began)

    def kill_the_proxy(self) -> None:
        killed = self._service.find_processes("/bin/haproxy -db")
        assert killed
        began = time.monotonic()
        for process in killed:
            os.kill(process.pid, signal.SIGKILL)
        answered_s = self._load.wait_for_answers(5)
        assert wait_until(lambda: bool(self._service.find_processes("/bin/haproxy -db") - killed), _PATIENCE_S)
        self._tell(f"HAProxy was killed; answered after {answered_s:.2f} s, all well", began)

    def _tell(self, what: str, began: float) -> None:
        self.told.append(f"{what} after {time.monotonic() - began:.2f} s")


def _check(load: Load, rollout: _Rollout, versions: Versions, flights: Flights) -> None:
    seconds = [answer.ended - answer.began for answer in load.answers]
    print(  # noqa: T201 - what was measured is of interest when all is well
        *rollout.told,
        f"{len(load.answers)} calls, {len(load.lost)} lost, {load.retries} retries, longest {max(seconds):.2f} s",
        f"picked up after {', '.join(f'{moved.pick_up_s:.2f}' for moved in rollout.moves)} s",
        sep="\n",
    )
    assert not load.lost, load.lost[:_SHOWN]
    assert not find_strangers(load.answers, rollout.periods)[:_SHOWN]
    expected = {number: versions.compute(number, flights) for number in versions.numbers}
    assert not find_wrong(load.answers, expected, TOLERANCE)[:_SHOWN]


def test_no_call_is_lost_while_everything_changes(running: Service, versions: Versions, flights: Flights) -> None:
    with Load(running, flights, _CALLS_PER_S) as load:
        load.wait_for_answers(20)
        rollout = _Rollout(running, versions, load)
        for _ in range(4):
            rollout.move()
        rollout.scale(2)
        for _ in range(4):
            rollout.move()
        rollout.kill_a_replica()
        rollout.kill_the_proxy()
        rollout.move()
        rollout.scale(1)
        rollout.move()
        load.wait_for_answers(100)
    _check(load, rollout, versions, flights)
    assert len(rollout.moves) == _MOVES
    assert {answer.version for answer in load.answers} == set(versions.numbers)
    assert max(moved.pick_up_s for moved in rollout.moves) <= _PICK_UP_S


def test_no_call_is_lost_when_the_only_replica_is_killed(
    running: Service, versions: Versions, flights: Flights
) -> None:
    # As patient as a busy machine is slow.
    with Load(running, flights, _CALLS_PER_S / 3, RetryPolicy(patience_s=_PATIENCE_S)) as load:
        load.wait_for_answers(20)
        rollout = _Rollout(running, versions, load)
        rollout.kill_a_replica()
        load.wait_for_answers(20)
    _check(load, rollout, versions, flights)
    assert follows(running, versions.traffic)


_BEFORE, _AFTER = Period(frozenset({"1.0.0"}), 0.0, 12.0), Period(frozenset({"2.0.0"}), 10.0)


@pytest.mark.parametrize(
    ("began", "ended", "version"),
    [
        pytest.param(12.5, 13.0, "1.0.0", id="after every replica had moved on"),
        pytest.param(8.0, 9.0, "2.0.0", id="before it was published"),
        pytest.param(11.0, 11.5, "3.0.0", id="never in a traffic file"),
    ],
)
def test_a_version_that_was_not_in_the_traffic_is_told(began: float, ended: float, version: str) -> None:
    stranger = Answered(0, began, ended, version, 0.5)
    fitting = [Answered(0, 11.0, 11.5, "1.0.0", 0.5), Answered(0, 9.5, 10.5, "2.0.0", 0.5)]
    assert find_strangers([*fitting, stranger], [_BEFORE, _AFTER]) == [stranger]


@pytest.mark.parametrize(("version", "probability"), [("1.0.0", 0.75), ("3.0.0", 0.5), ("1.0.0", float("nan"))])
def test_a_number_that_is_not_of_the_version_that_it_names_is_told(version: str, probability: float) -> None:
    wrong = Answered(1, 0.0, 1.0, version, probability)
    expected = {"1.0.0": [0.25, 0.5], "2.0.0": [0.5, 0.75]}
    assert find_wrong([Answered(1, 0.0, 1.0, "2.0.0", 0.75), wrong], expected, TOLERANCE) == [wrong]
