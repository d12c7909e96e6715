"""The shadow is asked what the others were asked, and its answers are remembered and never sent."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from support.flights import make_flight
from support.releases import expected_probability
from support.serving import FIRST, SECOND, THIRD, Stage, ask

from athanor.serving.answering.core import Core
from athanor.serving.doors import shadow as shadow_module
from athanor.serving.doors.shadow import Shadow


class Recorder:
    """What a shadow tells. Several threads may wait for it."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._changed = threading.Condition()
        self.before: Callable[[], None] = lambda: None

    def shadowed(self, *told: Any) -> None:
        self.before()
        with self._changed:
            self.told.append(told)
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.told) >= count, timeout=60)


@contextmanager
def _shadow(core: Core, on_left_out: Callable[[], None] = lambda: None) -> Iterator[Shadow]:
    made = Shadow(core, on_left_out)
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
    (_, _, _, _, _, first), (version, digest, columns, start, count, second) = recorder.told
    assert (version, digest, start, count) == ("3.0.0", stage.releases[THIRD].digest, 1, 2)
    assert columns["distance"].tolist()[start : start + count] == [500, 900]
    assert first.tolist() == pytest.approx([expected_probability(10, THIRD)], abs=1e-6)
    assert second.tolist() == pytest.approx([expected_probability(d, THIRD) for d in (500, 900)], abs=1e-6)


def test_its_answers_do_not_change_those_that_are_sent(stage: Stage) -> None:
    stage.direct(FIRST, shadow=THIRD)
    core, recorder = stage.core(), Recorder()
    answer = core.answer(ask(core, make_flight(distance=500)))
    before = answer.probabilities.copy()
    with _shadow(core) as shadow:
        shadow.ask(answer, recorder)  # type: ignore[arg-type]
        recorder.wait_for(1)
    np.testing.assert_array_equal(answer.probabilities, before)
    assert answer.variant.name == "champion"


def test_without_a_shadow_nothing_is_asked(stage: Stage) -> None:
    stage.direct(FIRST, SECOND)
    core, recorder = stage.core(), Recorder()
    with _shadow(core) as shadow:
        _ask(shadow, core, recorder, 500)
    assert recorder.told == []


def test_one_that_was_withdrawn_meanwhile_is_not_asked(stage: Stage) -> None:
    stage.direct(FIRST, shadow=THIRD)
    core, recorder, go = stage.core(), Recorder(), threading.Event()
    recorder.before = lambda: (None, go.wait(60))[0]
    with _shadow(core) as shadow:
        _ask(shadow, core, recorder, 500)
        _ask(shadow, core, recorder, 600)
        core.traffic = stage_without_shadow(stage)
        go.set()
    assert len(recorder.told) <= 1


def stage_without_shadow(stage: Stage) -> Any:
    """What is loaded after the shadow was withdrawn."""
    stage.direct(FIRST)
    return stage.core().traffic


def test_when_it_cannot_keep_up_it_leaves_out_and_makes_nobody_wait(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_module, "_MOST_WAITING", 4)
    stage.direct(FIRST, shadow=THIRD)
    core, recorder, go, busy = stage.core(), Recorder(), threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        assert go.wait(60)

    recorder.before = hold
    left_out: list[None] = []
    with _shadow(core, lambda: left_out.append(None)) as shadow:
        _ask(shadow, core, recorder, 500)
        assert busy.wait(60)
        for _ in range(10):
            _ask(shadow, core, recorder, 600)
        assert len(left_out) == 6
        go.set()
    assert len(recorder.told) == 1 + 4


def test_what_waits_when_it_closes_is_still_answered(stage: Stage) -> None:
    stage.direct(FIRST, shadow=THIRD)
    core, recorder = stage.core(), Recorder()
    with _shadow(core) as shadow:
        for _ in range(20):
            _ask(shadow, core, recorder, 500)
    assert len(recorder.told) == 20


def test_after_an_answer_that_failed_the_next_is_given(stage: Stage) -> None:
    stage.direct(FIRST, shadow=THIRD)
    core, recorder = stage.core(), Recorder()

    class Broken:
        def shadowed(self, *told: Any) -> None:
            raise OSError("no space left on device")

    with _shadow(core) as shadow:
        _ask(shadow, core, Broken(), 500)
        _ask(shadow, core, recorder, 600)
        recorder.wait_for(1)
    assert [told[3] for told in recorder.told] == [0]
