"""Who answers: champion, challenger by its weight, the shadow never; and what becomes of a change that cannot be."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from integration.door_requests import typed_json
from integration.doors import ALL_DOORS, FOUR_DOORS, PATHS, Doors, Told
from integration.service import PROJECT, Service, running_service
from integration.versions import Versions, follows
from support.processes import nothing_survives, wait_until

from athanor.release.files import GRAPH
from athanor.release.traffic import Served, Traffic
from athanor.serving.answering.variants import share_of
from delays.v1 import delays_pb2

Flights = list[delays_pb2.Flight]

_PATIENCE_S: Final = 120.0
_KEYS: Final = tuple(f"key {number}" for number in range(200))
_WHY: Final = "for a test"
_FAILURES: Final = "athanor_traffic_reload_failures_total"
# Those that it was asked, and those that it had no time for.
_SHADOW_REQUESTS: Final = ("athanor_shadow_requests_total", "athanor_shadow_dropped_total")


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    return Versions.make(tmp_path_factory.mktemp("traffic") / "home", 3)


@pytest.fixture(scope="module")
def running(versions: Versions) -> Iterator[Service]:
    with nothing_survives(), running_service(versions.home, "--replicas", 2) as service:
        yield service


@pytest.fixture(scope="module")
def running_doors(running: Service) -> Iterator[Doors]:
    opened = Doors.open(running)
    yield opened
    opened.close()


@contextmanager
def _challenged(running: Service, versions: Versions, weight: float) -> Iterator[None]:
    second = versions.numbers[1]
    versions.move(running, lambda: versions.registry.challenge(PROJECT, second, weight, _WHY))
    try:
        yield
    finally:
        versions.move(running, lambda: versions.registry.withdraw(PROJECT, "challenger", _WHY))


def _ask(doors: Doors, door: str, rows: Flights, **asked: Any) -> Told:
    told = ALL_DOORS[door](doors, rows, **asked)
    assert isinstance(told, Told), told
    return told


def _variants(doors: Doors, door: str, rows: Flights) -> dict[str, str]:
    """Which variant answers each key."""
    return {key: _ask(doors, door, rows, headers={"x-athanor-sticky-key": key}).fields["variant"] for key in _KEYS}


def test_a_key_sticks_to_its_variant_at_every_door_and_replica(
    running: Service, running_doors: Doors, versions: Versions, flights: Flights
) -> None:
    with _challenged(running, versions, 0.3):
        found = [_variants(running_doors, door, flights[:1]) for door in (*FOUR_DOORS, "grpc", "rest")]
    assert found == [found[0]] * len(found)
    expected = {key: "challenger" if share_of(PROJECT, key) < 0.3 else "champion" for key in _KEYS}
    assert found[0] == expected
    assert set(Counter(expected.values())) == {"champion", "challenger"}


def test_without_a_header_a_row_sticks_by_the_columns_of_its_key(
    running: Service, running_doors: Doors, versions: Versions, flights: Flights
) -> None:
    with _challenged(running, versions, 0.5):
        found = [
            [_ask(running_doors, door, [flight]).fields["variant"] for flight in flights]
            for door in ("grpc", *FOUR_DOORS)
        ]
        # What is not of the key does not matter, and the first row decides.
        others = []
        for flight in flights:
            other = delays_pb2.Flight()
            other.CopyFrom(flight)
            other.distance = 1_000.0
            others.append(_ask(running_doors, "grpc", [other, *flights[:3]]).fields["variant"])
    assert found == [found[0]] * len(found)
    assert others == found[0]
    assert set(found[0]) == {"champion", "challenger"}


def test_a_weight_that_grows_keeps_the_keys_that_it_had(
    running: Service, running_doors: Doors, versions: Versions, flights: Flights
) -> None:
    with _challenged(running, versions, 0.2):
        few = {key for key, variant in _variants(running_doors, "grpc", flights[:1]).items() if variant == "challenger"}
        second = versions.numbers[1]
        versions.move(running, lambda: versions.registry.challenge(PROJECT, second, 0.6, _WHY))
        variants = _variants(running_doors, "grpc", flights[:1])
        many = {key for key, variant in variants.items() if variant == "challenger"}
    assert few < many < set(_KEYS)


def test_each_variant_answers_with_its_own_numbers_and_name(
    running: Service, running_doors: Doors, versions: Versions, flights: Flights
) -> None:
    expected = {number: versions.compute(number, flights[:3]) for number in versions.numbers[:2]}
    names = dict(zip(versions.numbers, ("champion", "challenger"), strict=False))
    with _challenged(running, versions, 0.5):
        for door in ALL_DOORS:
            told = [_ask(running_doors, door, flights[:3], headers={"x-athanor-sticky-key": key}) for key in _KEYS[:20]]
            assert {each.fields["version"] for each in told} == set(names)
            for each in told:
                assert each.fields["variant"] == names[each.fields["version"]] == each.headers["x-athanor-variant"]
                assert each.probabilities == pytest.approx(expected[each.fields["version"]], rel=0, abs=1e-6)
                assert each.headers["x-athanor-digest"] == each.fields["digest"]


def test_the_shadow_is_asked_and_never_answers(
    running: Service, running_doors: Doors, versions: Versions, flights: Flights
) -> None:
    second = versions.numbers[1]
    versions.move(running, lambda: versions.registry.shadow(PROJECT, second, _WHY))
    before = _sum(running_doors, *_SHADOW_REQUESTS)
    try:
        for door in FOUR_DOORS:
            assert set(_variants(running_doors, door, flights[:1]).values()) == {"champion"}
        body = {**json.loads(typed_json(flights[:1])), "semanticVersion": second}
        assert running_doors.rest.post(PATHS["rest"], json=body).status_code == 404
        assert second not in running_doors.rest.get(f"/v2/models/{PROJECT}").json()["versions"]
        # It is asked after the caller was answered.
        wanted = before + len(FOUR_DOORS) * len(_KEYS)
        assert wait_until(lambda: _sum(running_doors, *_SHADOW_REQUESTS) >= wanted, _PATIENCE_S)
    finally:
        versions.move(running, lambda: versions.registry.withdraw(PROJECT, "shadow", _WHY))


def _metrics(doors: Doors) -> list[str]:
    response = doors.rest.get("/metrics")
    assert response.status_code == 200
    return [line for line in response.text.splitlines() if not line.startswith("#")]


def _sum(doors: Doors, *names: str) -> float:
    """Of metrics, over all of their labels."""
    found = (line for line in _metrics(doors) if line.startswith(names))
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_a_version_of_either_variant_may_be_asked_for_by_name(
    running: Service, running_doors: Doors, versions: Versions, flights: Flights
) -> None:
    first, second, third = versions.numbers
    path = f"/v2/models/{PROJECT}/versions"
    with _challenged(running, versions, 0.5):
        for version, status in ((first, 200), (second, 200), (third, 404)):
            assert running_doors.rest.get(f"{path}/{version}").status_code == status
    assert running_doors.rest.get(f"{path}/{second}").status_code == 404


def test_a_damaged_release_is_not_followed_and_that_is_told_everywhere(
    running: Service, running_doors: Doors, versions: Versions, flights: Flights
) -> None:
    before, third = versions.traffic, versions.numbers[2]
    release = versions.read(third)
    graph = Path(release.location) / GRAPH
    content = graph.read_bytes()
    expected = _ask(running_doors, "grpc", flights[:5])
    graph.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    changed = Traffic(
        model=PROJECT,
        revision=before.revision + 1,
        champion=Served(digest=release.digest, semantic_version=third),
    )
    failures = _sum(running_doors, _FAILURES)
    versions.store.write_traffic(changed)
    try:
        assert wait_until(lambda: all(status.failure for status in running.statuses), _PATIENCE_S)
        _it_is_told(running, running_doors, str(graph), failures)
        told = [_ask(running_doors, door, flights[:5]) for door in FOUR_DOORS]
        assert {each.fields["version"] for each in told} == {before.require_champion().semantic_version}
        assert all(each.probabilities == expected.probabilities for each in told)
        # Mended, it is followed without anybody's doing.
        graph.write_bytes(content)
        assert wait_until(lambda: follows(running, changed), _PATIENCE_S)
        assert _ask(running_doors, "grpc", flights[:5]).fields["version"] == third
    finally:
        graph.write_bytes(content)
        versions.move(running, lambda: _write(versions, before))
    assert running.status()[0] == 0


def _write(versions: Versions, traffic: Traffic) -> Traffic:
    versions.store.write_traffic(traffic)
    return traffic


def _it_is_told(service: Service, doors: Doors, path: str, failures: float) -> None:
    status, told = service.status()
    assert status == 1
    assert len(told["replicas"]) == 2
    assert all(path in replica["models"][PROJECT]["failure"] for replica in told["replicas"])
    assert wait_until(lambda: _sum(doors, _FAILURES) >= failures + 2, _PATIENCE_S)
    errors = [json.loads(line) for line in service.log.splitlines() if '"level": "error"' in line]
    assert {error["process"] for error in errors if path in error["message"]} == {r.pid for r in service.replicas}


def test_a_traffic_file_that_is_none_is_not_followed(
    running: Service, running_doors: Doors, versions: Versions, flights: Flights
) -> None:
    before = versions.traffic
    path = versions.home.store / "traffic" / f"{PROJECT}.json"
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    try:
        assert wait_until(lambda: all(status.failure for status in running.statuses), _PATIENCE_S)
        assert running.status()[0] == 1
        answered = _ask(running_doors, "grpc", flights[:1])
        assert answered.fields["version"] == before.require_champion().semantic_version
    finally:
        path.write_bytes(content)
    assert wait_until(lambda: follows(running, before), _PATIENCE_S)
