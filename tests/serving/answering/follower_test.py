"""The releases of a new traffic file replace the old ones, or the old ones stay."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.answers import probabilities_of
from support.flights import make_flight
from support.following import CountingStore, Listener, following_repository
from support.processes import wait_until
from support.releases import expected_probability, make_files, make_graph, make_release
from support.serving import FIRST, SECOND, THIRD, VERSIONS, Stage, ask

from athanor.errors import AthanorError
from athanor.release.files import GRAPH
from athanor.release.signing.releases import make_key, sign
from athanor.release.signing.traffic import sign_traffic
from athanor.release.signing.trust import Trust
from athanor.release.traffic import Served, Traffic
from athanor.serving.answering import follower as follower_module
from athanor.serving.answering.core import Core
from athanor.serving.answering.prepared import Answer
from athanor.serving.answering.repository import Repository
from athanor.system.atomic import replace_file
from projects.delays.model import MODEL


@pytest.fixture
def following(stage: Stage) -> Iterator[Any]:
    """A core that follows the traffic file, from the first release on."""
    stage.direct(FIRST)
    with _follow(stage) as parts:
        yield parts


@contextmanager
def _follow(stage: Stage, trust: Trust | None = None) -> Iterator[tuple[Core, Repository, Listener, CountingStore]]:
    listener, store = Listener(), CountingStore(stage.store.location)
    with following_repository(store, listener, trust=trust) as repository:
        core = listener.cores[MODEL.name]
        listener.clear()
        yield core, repository, listener, store


def _failure(repository: Repository) -> str:
    (state,) = repository.states()
    return state.reason


def _probability(core: Core) -> float:
    return float(probabilities_of(core.answer(ask(core, make_flight(distance=500))))[0])


def _versions(core: Core) -> dict[str, str]:
    return {variant.name: variant.semantic_version for variant in core.traffic.variants}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((SECOND, None, 0.5, None), {"champion": "2.0.0"}),
        ((FIRST, SECOND, 0.5, None), {"champion": "1.0.0", "challenger": "2.0.0"}),
        ((FIRST, None, 0.5, THIRD), {"champion": "1.0.0", "shadow": "3.0.0"}),
        ((THIRD, FIRST, 0.1, SECOND), {"champion": "3.0.0", "challenger": "1.0.0", "shadow": "2.0.0"}),
        ((SECOND, None, 0.5, None, (FIRST,)), {"champion": "2.0.0", "pinned": "1.0.0"}),
    ],
)
def test_a_change_is_followed(stage: Stage, following: Any, parts: Any, expected: dict[str, str]) -> None:
    core, repository, listener, _ = following
    traffic = stage.direct(*parts)
    listener.wait(loaded=1)
    assert _versions(core) == expected
    assert core.traffic.traffic == traffic == listener.loaded[0].traffic
    assert (_failure(repository), listener.failed) == ("", [])
    champion = next(middle for middle, version in VERSIONS.items() if version == expected["champion"])
    answer = core.answer(ask(core, make_flight(distance=500), semantic_version=expected["champion"]))
    assert probabilities_of(answer) == pytest.approx([expected_probability(500, champion)], abs=1e-6)


def test_each_change_is_reported_once(stage: Stage, following: Any) -> None:
    core, _, listener, store = following
    store.wait_for_looks()
    assert listener.loaded == []
    for turn, middle in enumerate((SECOND, FIRST, THIRD), start=1):
        stage.direct(middle)
        listener.wait(loaded=turn)
        store.wait_for_looks()
    assert [loaded.champion.semantic_version for loaded in listener.loaded] == ["2.0.0", "1.0.0", "3.0.0"]
    assert _versions(core) == {"champion": "3.0.0"}


def test_a_release_that_stays_is_not_loaded_again(stage: Stage, following: Any) -> None:
    core, _, listener, _ = following
    kept = core.traffic.champion.predictor
    stage.direct(FIRST, SECOND)
    listener.wait(loaded=1)
    assert core.traffic.champion.predictor is kept


def _tamper(stage: Stage) -> None:
    stage.path(SECOND, GRAPH).write_bytes(make_graph(THIRD))


def _remove(stage: Stage) -> None:
    stage.store.remove(MODEL.name, stage.releases[SECOND].digest)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(_tamper, "is corrupted or was tampered with"), (_remove, "there is no release")],
)
def test_a_release_that_cannot_be_loaded_leaves_the_old_one(
    stage: Stage, following: Any, spoil: Callable[[Stage], None], message: str
) -> None:
    core, repository, listener, store = following
    spoil(stage)
    stage.direct(SECOND)
    listener.wait(failed=1)
    store.wait_for_looks(5)
    assert message in str(listener.failed[0])
    assert _failure(repository) == str(listener.failed[0])
    assert len(listener.failed) == 1, "a failure is told once, for as long as it is the same"
    assert _versions(core) == {"champion": "1.0.0"}
    assert _probability(core) == pytest.approx(expected_probability(500, FIRST), abs=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "weather"}, "there is no release"),
        ({"contract": "0" * 64}, "the manifest says 000"),
        ({"descriptors": b"none", "seed": 9}, "the contract's protobuf files cannot be read"),
        ({"files": make_files(model=b"no graph")}, "cannot be run"),
        ({"files": make_files(model=make_graph(SECOND + 100))}, "with a difference of"),
    ],
)
def test_a_champion_that_cannot_be_proved_leaves_the_old_one(
    stage: Stage, following: Any, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    core, _, listener, _ = following
    wrong = make_release(tmp_path / "wrong", **changed)
    stage.store.publish(wrong)
    served = Served(digest=wrong.digest, semantic_version="9.0.0")
    stage.store.write_traffic(Traffic(model=MODEL.name, revision=99, champion=served))
    listener.wait(failed=1)
    assert message in str(listener.failed[0])
    assert _versions(core) == {"champion": "1.0.0"}


def test_only_signed_and_later_traffic_is_followed_where_signatures_are_required(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "_RETRY_S", 0.01)
    key, store = tmp_path / "key", stage.store
    make_key(key)

    def sign_now(traffic: Traffic) -> Traffic:
        store.write_traffic_signature(MODEL.name, sign_traffic(traffic, key))
        return traffic

    first = stage.releases[FIRST]
    store.write_signature(MODEL.name, first.digest, sign(first, key))
    sign_now(stage.direct(FIRST))
    with _follow(stage, Trust(tmp_path / "key.pub", tmp_path / "served.json")) as (core, _, listener, _):
        unsigned = stage.direct(SECOND)
        listener.wait(failed=1)
        assert "not over traffic revision 2 of delays as it is now" in str(listener.failed[0])
        sign_now(unsigned)
        listener.wait(failed=2)
        assert f"release {stage.releases[SECOND].digest} of delays is not signed by key" in str(listener.failed[1])
        for middle in (SECOND, THIRD):
            signed = stage.releases[middle]
            store.write_signature(MODEL.name, signed.digest, sign(signed, key))
        listener.wait(loaded=1)
        sign_now(stage.direct(THIRD))
        listener.wait(loaded=2)
        store.write_traffic(sign_now(unsigned))
        # Others may come before it, while traffic is written and not signed yet.
        expected = "revision 2 of delays is refused: this service has served revision 3"
        assert wait_until(lambda: any(expected in str(error) for error in listener.failed), 60)
        assert _versions(core) == {"champion": "3.0.0"}


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"model": "delays"}', b"\xff" * 100])
def test_a_damaged_traffic_file_is_reported_and_the_old_one_stays(stage: Stage, following: Any, content: bytes) -> None:
    core, repository, listener, store = following
    path = Path(stage.store.location, "traffic", f"{MODEL.name}.json")
    whole = path.read_bytes()
    replace_file(path, content)
    listener.wait(failed=1)
    store.wait_for_looks()
    assert "is not a traffic file" in str(listener.failed[0])
    assert len(listener.failed) == 1
    assert _versions(core) == {"champion": "1.0.0"}
    replace_file(path, whole)
    # What was told as failing is told as over, though there was nothing to load.
    listener.wait(loaded=1)
    store.wait_for_looks()
    assert _failure(repository) == ""
    assert len(listener.loaded) == 1


def test_a_missing_traffic_file_is_reported_and_the_old_one_stays(stage: Stage, following: Any) -> None:
    core, _, listener, _ = following
    Path(stage.store.location, "traffic", f"{MODEL.name}.json").unlink()
    listener.wait(failed=1)
    assert "no release of delays takes traffic" in str(listener.failed[0])
    assert _probability(core) == pytest.approx(expected_probability(500, FIRST), abs=1e-6)
    stage.direct(SECOND)
    listener.wait(loaded=1)
    assert _versions(core) == {"champion": "2.0.0"}


def test_each_distinct_failure_is_reported(stage: Stage, following: Any) -> None:
    _, _, listener, _ = following
    _tamper(stage)
    stage.direct(SECOND)
    listener.wait(failed=1)
    stage.store.remove(MODEL.name, stage.releases[THIRD].digest)
    stage.direct(THIRD)
    listener.wait(failed=2)
    assert ["tampered" in str(error) for error in listener.failed] == [True, False]


def test_a_failed_change_is_retried_until_it_loads(
    stage: Stage, following: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "_RETRY_S", 0.01)
    core, repository, listener, store = following
    path = stage.path(SECOND, GRAPH)
    whole = path.read_bytes()
    _tamper(stage)
    stage.direct(SECOND)
    listener.wait(failed=1)
    path.write_bytes(whole)
    listener.wait(loaded=1)
    store.wait_for_looks()
    assert (_failure(repository), _versions(core)) == ("", {"champion": "2.0.0"})


def test_after_a_failure_another_change_is_followed_at_once(
    stage: Stage, following: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "_RETRY_S", 3_600)
    core, _, listener, _ = following
    _tamper(stage)
    stage.direct(SECOND)
    listener.wait(failed=1)
    stage.direct(THIRD)
    listener.wait(loaded=1)
    assert _versions(core) == {"champion": "3.0.0"}


def test_a_failed_change_is_not_retried_at_every_poll(
    stage: Stage, following: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "_RETRY_S", 3_600)
    _, _, listener, store = following
    path = stage.path(SECOND, GRAPH)
    whole = path.read_bytes()
    _tamper(stage)
    stage.direct(SECOND)
    listener.wait(failed=1)
    path.write_bytes(whole)
    store.wait_for_looks(5)
    assert listener.loaded == []


@pytest.mark.parametrize("error", [OSError("the bucket is away"), KeyError("x"), MemoryError(), RuntimeError()])
def test_it_survives_every_error_of_the_store(stage: Stage, following: Any, error: BaseException) -> None:
    core, repository, listener, store = following
    store.error = error
    listener.wait(failed=1)
    assert "cannot follow the traffic file" in str(listener.failed[0])
    store.wait_for_looks()
    assert _failure(repository)
    stage.direct(SECOND)
    store.error = None
    listener.wait(loaded=1)
    assert _versions(core) == {"champion": "2.0.0"}


def test_it_survives_errors_of_its_listener(stage: Stage) -> None:
    stage.direct(FIRST)

    class Failing(Listener):
        def on_failed(self, model: str, error: AthanorError, core: Core | None) -> None:
            super().on_failed(model, error, core)
            raise OSError("no space left on device")

    listener, store = Failing(), CountingStore(stage.store.location)
    with following_repository(store, listener):
        stage.direct(SECOND)
        listener.wait(loaded=2)
        stage.path(THIRD, GRAPH).write_bytes(b"")
        stage.direct(THIRD)
        listener.wait(failed=1)
        stage.direct(FIRST)
        listener.wait(loaded=3)
    assert _versions(listener.cores[MODEL.name]) == {"champion": "1.0.0"}


def test_it_ends_when_it_is_closed(stage: Stage, following: Any) -> None:
    core, repository, listener, _ = following
    repository.close()
    stage.direct(SECOND)
    assert not any(thread.name == "traffic" for thread in threading.enumerate())
    assert (_versions(core), listener.loaded) == ({"champion": "1.0.0"}, [])


def test_answers_in_flight_come_wholly_from_one_traffic_file(stage: Stage, following: Any) -> None:
    """A batch is never answered by the releases of two files, whatever changes meanwhile."""
    core, _, listener, _ = following
    together = [(FIRST, SECOND), (THIRD, FIRST)]
    allowed = [{VERSIONS[FIRST]}] + [{VERSIONS[champion], VERSIONS[challenger]} for champion, challenger in together]
    seen: list[set[str]] = []
    stop = threading.Event()

    def ask_on() -> None:
        questions = [ask(core, make_flight(flight_number=number)) for number in range(1, 20)]
        while not stop.is_set():
            answers = [a for a in core.answer_together(questions) if isinstance(a, Answer)]
            seen.append({answer.variant.semantic_version for answer in answers})

    thread = threading.Thread(target=ask_on)
    thread.start()
    try:
        for turn in range(10):
            stage.direct(*together[turn % 2])
            listener.wait(loaded=turn + 1)
            # The next may have begun before; the one after it is of this turn.
            answered = len(seen)
            assert wait_until(lambda: len(seen) > answered + 1, 60)  # noqa: B023 - it is called at once
    finally:
        stop.set()
        thread.join()
    assert all(any(found <= one for one in allowed) for found in seen)
    assert {frozenset(found) for found in seen} >= {frozenset(one) for one in allowed[1:]}
