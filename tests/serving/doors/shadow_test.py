"""The shadow is asked what callers asked; its answers are recorded and never sent."""

import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.answers import probabilities_of
from support.flights import make_flight
from support.processes import wait_until
from support.releases import expected_probability
from support.serving import FIRST, SECOND, THIRD, Stage, WatchedPredictor, ask

from athanor.contract.columns import Columns
from athanor.serving.answering.core import Core
from athanor.serving.answering.prepared import Answer
from athanor.serving.doors.models import shadow as shadow_module
from athanor.serving.doors.models.shadow import Shadow, ShadowRoom


class Recorder:
    """Records the shadow's answers in the place of an observation."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._changed = threading.Condition()
        self.before: Callable[[], None] = lambda: None

    def shadowed(self, answered: Answer, shadow: Answer) -> None:
        self.before()
        with self._changed:
            self.answers.append(shadow)
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.answers) >= count, timeout=60)


@contextmanager
def _shadow(core: Core, on_dropped: Callable[[], None] = lambda: None) -> Iterator[Shadow]:
    made = Shadow(core, on_dropped, ShadowRoom())
    try:
        yield made
    finally:
        made.close()


def _ask(shadow: Shadow, core: Core, recorder: Any, *distances: float) -> None:
    shadow.ask(core.answer(ask(core, *(make_flight(distance=d) for d in distances))), recorder)


def test_it_answers_the_same_rows_by_its_own_release(stage: Stage) -> None:
    stage.direct(FIRST, SECOND, 0.5, THIRD)
    core, recorder = stage.core(), Recorder()
    questions = [ask(core, make_flight(distance=10)), ask(core, make_flight(distance=500), make_flight(distance=900))]
    with _shadow(core) as shadow:
        for answer in core.answer_together(questions):
            shadow.ask(answer, recorder)  # type: ignore[arg-type]  # a recorder, and none of these is an error
    first, second = recorder.answers
    assert (second.variant.semantic_version, second.variant.digest) == ("3.0.0", stage.releases[THIRD].digest)
    assert (second.variant.name, second.first, second.count) == ("shadow", 1, 2)
    assert second.batch["distance"].tolist()[1:3] == [500, 900]
    assert probabilities_of(first) == pytest.approx([expected_probability(10, THIRD)], abs=1e-6)
    assert probabilities_of(second) == pytest.approx([expected_probability(d, THIRD) for d in (500, 900)], abs=1e-6)


def test_its_answers_do_not_change_those_that_are_sent(stage: Stage) -> None:
    stage.direct(FIRST, shadow=THIRD)
    core, recorder = stage.core(), Recorder()
    answer = core.answer(ask(core, make_flight(distance=500)))
    before = probabilities_of(answer).copy()
    with _shadow(core) as shadow:
        shadow.ask(answer, recorder)  # type: ignore[arg-type]
        recorder.wait_for(1)
    np.testing.assert_array_equal(probabilities_of(answer), before)
    assert answer.variant.name == "champion"


def test_without_a_shadow_nothing_is_asked(stage: Stage) -> None:
    stage.direct(FIRST, SECOND)
    core, recorder = stage.core(), Recorder()
    with _shadow(core) as shadow:
        _ask(shadow, core, recorder, 500)
    assert recorder.answers == []


def test_a_withdrawn_shadow_is_not_asked_about_the_backlog(stage: Stage) -> None:
    stage.direct(FIRST, shadow=THIRD)
    core, recorder, go = stage.core(), Recorder(), threading.Event()
    recorder.before = lambda: (None, go.wait(60))[0]
    with _shadow(core) as shadow:
        _ask(shadow, core, recorder, 500)
        _ask(shadow, core, recorder, 600)
        core.traffic = stage_without_shadow(stage)
        go.set()
    assert len(recorder.answers) <= 1


def stage_without_shadow(stage: Stage) -> Any:
    """The traffic after the shadow is withdrawn."""
    stage.direct(FIRST)
    return stage.core().traffic


@pytest.fixture
def slow(stage: Stage) -> Iterator[tuple[Core, threading.Event, threading.Event]]:
    """A core whose shadow waits before each run until the last event, and sets the other event when it waits."""
    stage.direct(FIRST, shadow=THIRD)
    core, busy, go = stage.core(max_rows=10_000), threading.Event(), threading.Event()

    def hold(columns: Columns) -> None:
        busy.set()
        assert go.wait(60)

    shadow = core.traffic.shadow
    assert shadow is not None
    core.traffic = replace(core.traffic, shadow=replace(shadow, predictor=WatchedPredictor(shadow.predictor, hold)))
    yield core, busy, go
    go.set()


@pytest.mark.parametrize(
    ("limit", "value", "kept"), [("_MOST_ROWS", 9, 4), ("_MOST_BYTES", 26_000, 3), ("_MOST_BYTES", 1, 0)]
)
def test_beyond_its_limits_it_drops_answers_and_counts_them(
    slow: tuple[Core, threading.Event, threading.Event],
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
    kept: int,
) -> None:
    monkeypatch.setattr(shadow_module, limit, value)
    core, busy, go = slow
    recorder, dropped = Recorder(), list[None]()
    with _shadow(core, lambda: dropped.append(None)) as shadow:
        # What the shadow is being asked about counts too: these are one and two rows, 5,500 to 6,000 bytes each.
        _ask(shadow, core, recorder, 500)
        assert busy.wait(60)
        for _ in range(10):
            _ask(shadow, core, recorder, 600, 700)
        assert len(dropped) == 10 - kept
        go.set()
        recorder.wait_for(1 + kept)
        # The limits hold for what waits, not for all time.
        assert wait_until(lambda: shadow.backlog_rows == 0, 60)
        _ask(shadow, core, recorder, 500)
    assert len(recorder.answers) == 1 + kept + 1


def test_answers_of_one_batch_count_it_once(
    slow: tuple[Core, threading.Event, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_module, "_MOST_BYTES", 180_000)
    core, _, go = slow
    recorder, dropped = Recorder(), list[None]()
    answers = core.answer_together([ask(core, make_flight(distance=distance)) for distance in range(1, 101)])
    with _shadow(core, lambda: dropped.append(None)) as shadow:
        for answer in answers:
            shadow.ask(answer, recorder)  # type: ignore[arg-type]
        go.set()
    assert (len(recorder.answers), len(dropped)) == (100, 0)


def test_a_shadow_that_fails_counts_what_it_did_not_answer(stage: Stage) -> None:
    stage.direct(FIRST, shadow=THIRD)
    core, recorder, dropped = stage.core(), Recorder(), list[None]()

    def fail(columns: Columns) -> None:
        raise ZeroDivisionError

    shadow_variant = core.traffic.shadow
    assert shadow_variant is not None
    broken = replace(shadow_variant, predictor=WatchedPredictor(shadow_variant.predictor, fail))
    core.traffic = replace(core.traffic, shadow=broken)
    with _shadow(core, lambda: dropped.append(None)) as shadow:
        _ask(shadow, core, recorder, 500)
        _ask(shadow, core, recorder, 600)
    assert (len(recorder.answers), len(dropped)) == (0, 2)


def test_a_slow_shadow_holds_no_more_memory_than_its_limit(
    slow: tuple[Core, threading.Event, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six answers of the largest size would take 21 MB."""
    limit = 16 * 1024 * 1024
    monkeypatch.setattr(shadow_module, "_MOST_BYTES", limit)
    core, _, go = slow
    dropped: list[None] = []
    question = ask(core, *[make_flight()] * 10_000)
    core.answer(question)
    tracemalloc.start()
    try:
        with _shadow(core, lambda: dropped.append(None)) as shadow:
            for _ in range(6):
                shadow.ask(core.answer(question), Recorder())  # type: ignore[arg-type]
            held, _ = tracemalloc.get_traced_memory()
            rows = shadow.backlog_rows
            go.set()
    finally:
        tracemalloc.stop()
    assert limit / 2 < held < limit
    assert (rows, len(dropped)) == (40_000, 2)


def test_closing_answers_the_backlog(stage: Stage) -> None:
    stage.direct(FIRST, shadow=THIRD)
    core, recorder = stage.core(), Recorder()
    with _shadow(core) as shadow:
        for _ in range(20):
            _ask(shadow, core, recorder, 500)
    assert len(recorder.answers) == 20


def test_an_answer_that_cannot_be_recorded_does_not_cost_the_next(stage: Stage) -> None:
    stage.direct(FIRST, shadow=THIRD)
    core, recorder = stage.core(), Recorder()

    class Broken:
        def shadowed(self, *answers: Answer) -> None:
            raise OSError("no space left on device")

    with _shadow(core) as shadow:
        _ask(shadow, core, Broken(), 500)
        _ask(shadow, core, recorder, 600)
        recorder.wait_for(1)
    assert [answer.count for answer in recorder.answers] == [1]
