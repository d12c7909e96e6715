"""Ten releases of one project, with ten feature sets and three wires, change places under load."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Final

import pytest
from integration.load import Load, Period, find_strangers, find_wrong
from integration.mixed_load import MixedLoad, Refused, find_unjustified
from integration.random_moves import RandomMoves, compute_alone, make_row, make_rows, make_ten
from integration.service import PROJECT, Service, running_service
from integration.versions import Versions
from support.commands import run
from support.processes import nothing_survives, wait_until
from support.wires import add_column, make_release_of

from athanor.client.connection.retries import RetryPolicy
from athanor.release.answers import TOLERANCE
from athanor.release.traffic import Challenger
from delays.v1 import delays_pb2

_CALLS_PER_S: Final = 100.0
_MOVES: Final = 40
_SEED: Final = 17
_SCALED_BEFORE: Final = 12
_KILLED_BEFORE: Final = 26
# As patient as a busy machine is slow.
_RETRY: Final = RetryPolicy(patience_s=120)
_PATIENCE_S: Final = 240.0
_POLL_S: Final = 0.1
_SHOWN: Final = 5

Ten = tuple[Versions, dict[str, int]]


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Ten:
    return make_ten(tmp_path_factory.mktemp("moves") / "home")


@pytest.fixture(scope="module")
def running(ten: Ten) -> Iterator[Service]:
    with nothing_survives(), running_service(ten[0].home, "--traffic-poll-s", _POLL_S) as service:
        yield service


def _make_moves(service: Service, versions: Versions, load: MixedLoad) -> RandomMoves:
    """A second replica starts, and another one is killed, while the traffic moves."""
    moves = RandomMoves(service, versions, load, _SEED)
    for number in range(_MOVES):
        if number == _SCALED_BEFORE:
            with ThreadPoolExecutor() as pool:
                scaled = pool.submit(run, "serving", "scale", PROJECT, 2, "--home", service.home.path)
                moves.move(replicas=2)
                assert scaled.result().returncode == 0, scaled.result().stderr
            continue
        if number == _KILLED_BEFORE:
            moves.kill_a_replica()
        moves.move(replicas=1 if number < _SCALED_BEFORE else 2)
    return moves


def test_ten_releases_change_places_under_load(running: Service, ten: Ten, flights: list[delays_pb2.Flight]) -> None:
    versions, wires = ten
    rows = make_rows(flights)
    with MixedLoad(running, rows, _CALLS_PER_S, _RETRY) as load:
        load.wait_for_answers(20)
        moves = _make_moves(running, versions, load)
        load.wait_for_answers(20)
    seconds = [answer.ended - answer.began for answer in load.answers]
    print(  # noqa: T201 - what was measured is of interest when all is well
        f"{len(load.answers)} answers, {len(load.refused)} refused, {len(load.lost)} lost, {load.retries} retries",
        f"{len(moves.named)} answers of pinned versions",
        f"median {median(seconds) * 1e3:.1f} ms, longest {max(seconds):.2f} s",
        f"{dict(moves.done)}, picked up after {median(moves.pick_ups_s):.2f} s, at most {max(moves.pick_ups_s):.2f} s",
        f"{dict(sorted(Counter(answer.version for answer in load.answers).items()))}",
        sep="\n",
    )
    assert not load.lost, load.lost[:_SHOWN]
    assert {answer.version for answer in load.answers} == set(versions.numbers)
    assert not find_strangers(load.answers, moves.periods)[:_SHOWN]
    assert not find_unjustified(load.refused, rows, moves.periods, wires)[:_SHOWN]
    releases = {number: versions.read(number) for number in versions.numbers}
    answers = [*load.answers, *moves.named]
    assert moves.named
    assert all(answer.digest == releases[answer.version].digest for answer in answers)
    expected = {number: compute_alone(release, rows) for number, release in releases.items()}
    assert not find_wrong(answers, expected, TOLERANCE)[:_SHOWN]


def test_an_incompatible_challenger_takes_nothing_with_it(
    running: Service, ten: Ten, flights: list[delays_pb2.Flight]
) -> None:
    versions, before = ten[0], {replica.pid for replica in running.replicas}
    newest = _challenge_incompatibly(running, versions)
    assert wait_until(lambda: _all_fail(running, len(before)), _PATIENCE_S)
    with Load(running, flights, _CALLS_PER_S, _RETRY) as load:
        load.wait_for_answers(20)
        os.kill(min(before), signal.SIGKILL)
        assert wait_until(lambda: min(before) not in {replica.pid for replica in running.replicas}, _PATIENCE_S)
        assert wait_until(lambda: _all_fail(running, len(before)), _PATIENCE_S), running.replicas
        load.wait_for_answers(20)
    assert not load.lost
    assert {answer.version for answer in load.answers} == {newest}
    status = run("serving", "status", PROJECT, "--home", running.home.path, "--json")
    said = json.loads(status.stdout)
    assert (status.returncode, said["serving"], len(said["replicas"])) == (1, True, len(before))
    for replica in said["replicas"]:
        assert "the challenger 1.99.0 cannot be loaded and takes no part" in replica["models"][PROJECT]["failure"]
        assert "column distance changed its maximum" in replica["models"][PROJECT]["failure"]


def _challenge_incompatibly(service: Service, versions: Versions) -> str:
    """The newest release is champion. Its rows have a gate and may go far; the challenger's have a terminal instead."""
    newest = versions.numbers[-1]
    promoted = versions.move(service, lambda: versions.registry.promote(PROJECT, newest, "for a test")).traffic
    # The registry refuses it: somebody else published it.
    release = make_release_of(versions.home.candidates / PROJECT, add_column("terminal"), 1_000.0)
    versions.store.publish(release)
    challenger = Challenger(digest=release.digest, semantic_version="1.99.0", weight=0.5)
    changed = {"revision": promoted.revision + 1, "challenger": challenger, "shadow": None}
    versions.store.write_traffic(promoted.model_copy(update=changed))
    return newest


def _all_fail(service: Service, count: int) -> bool:
    statuses = service.statuses
    return len(statuses) == count and all(status.failure for status in statuses)


_NARROW, _WIDE = Period(frozenset({"1.0.0"}), 0.0, 12.0), Period(frozenset({"1.0.0", "1.1.0"}), 10.0)


@pytest.mark.parametrize(
    ("row", "began", "is_justified"),
    [
        pytest.param(1, 11.0, True, id="before every replica had the newer wire"),
        pytest.param(1, 12.5, False, id="after every replica had it"),
        pytest.param(0, 11.0, False, id="a row that each wire allows"),
    ],
)
def test_a_refusal_of_what_the_traffic_allows_is_found(
    row: int, began: float, is_justified: bool, flights: list[delays_pb2.Flight]
) -> None:
    rows = [make_row(flights[0], 0, 0), make_row(flights[1], 1, 0)]
    refused = Refused(row, began, began + 0.25, "the distance is too long")
    found = find_unjustified([refused], rows, [_NARROW, _WIDE], {"1.0.0": 0, "1.1.0": 1})
    assert found == ([] if is_justified else [refused])
