"""Requests that arrive together are answered in one batch, and none waits for others."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import pytest
from support.answers import probabilities_of
from support.flights import make_flight
from support.releases import expected_probability
from support.serving import ask, watch_champion

from athanor.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
)
from athanor.serving.answering.batching.batcher import Batcher, Computed
from athanor.serving.answering.batching.capacity import Capacity, Share
from athanor.serving.answering.core import Core
from athanor.serving.answering.interface import Question
from athanor.serving.answering.prepared import Prepared

T = TypeVar("T")


class CountingCore(Core):
    """Records the number of questions, and of rows, of each batch."""

    def __init__(self, core: Core) -> None:
        vars(self).update(vars(core))
        self.together: list[int] = []
        self.rows: list[int] = []

    def prepare(self, questions: Sequence[Question]) -> Prepared | InvalidRequestError:
        self.together.append(len(questions))
        self.rows.append(sum(question.count for question in questions))
        return super().prepare(questions)


@pytest.fixture
def counting(core: Core) -> CountingCore:
    counting = CountingCore(core)
    counting.interface.max_rows = 10_000
    return counting


@pytest.fixture
def batcher(counting: CountingCore) -> Iterator[Batcher]:
    made = Batcher(counting, Share(Capacity(8)))
    yield made
    made.share.capacity.threads.close()


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs on a loop of its own, for at most a minute: a lost answer must not hang the tests."""
    return asyncio.run(asyncio.wait_for(work(), 60))


def _soon() -> float:
    return time.monotonic() + 60


def _ask(core: Core, distance: float = 1_000.0, rows: int = 1) -> Question:
    return ask(core, *[make_flight(distance=distance)] * rows)


def _probability(computed: Computed) -> float:
    return float(probabilities_of(computed.answer)[0])


def test_questions_that_arrive_together_are_one_batch(batcher: Batcher, counting: CountingCore) -> None:
    distances = [100.0 * number for number in range(1, 9)]

    async def work() -> list[Computed]:
        return await asyncio.gather(*(batcher.ask(_ask(counting, d), _soon()) for d in distances))

    found = [_probability(computed) for computed in _run(work)]
    assert found == pytest.approx([expected_probability(d) for d in distances], abs=1e-6)
    assert counting.together == [8]


def test_a_question_that_arrives_alone_does_not_wait(batcher: Batcher, counting: CountingCore) -> None:
    async def work() -> None:
        for _ in range(3):
            await batcher.ask(_ask(counting), _soon())

    _run(work)
    assert counting.together == [1, 1, 1]


def test_a_question_joins_the_batch_while_others_arrive(batcher: Batcher, counting: CountingCore) -> None:
    async def work() -> None:
        first = asyncio.create_task(batcher.ask(_ask(counting), _soon()))
        await asyncio.sleep(0)
        second = asyncio.create_task(batcher.ask(_ask(counting), _soon()))
        await asyncio.gather(first, second)

    _run(work)
    assert counting.together == [2]


async def _ask_after(batcher: Batcher, core: Core, turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    await batcher.ask(_ask(core), _soon())


def test_the_batcher_waits_for_others_only_after_a_shared_batch(batcher: Batcher, counting: CountingCore) -> None:
    async def ask_two(turns: int) -> None:
        await asyncio.gather(_ask_after(batcher, counting, 0), _ask_after(batcher, counting, turns))

    async def work() -> None:
        await ask_two(5)
        assert counting.together == [1, 1]
        await ask_two(0)
        await ask_two(5)
        assert counting.together[2:] == [2, 2]
        for _ in range(20):
            await ask_two(40)
        await ask_two(5)

    _run(work)
    assert set(counting.together[4:]) == {1}


def test_the_rows_of_a_batch_are_bounded(counting: CountingCore) -> None:
    batcher = Batcher(counting, Share(Capacity(100)))

    async def work() -> None:
        async def ask_later(turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await batcher.ask(_ask(counting, rows=200), _soon())

        await asyncio.gather(*(ask_later(turns) for turns in range(12)))

    _run(work)
    batcher.share.capacity.threads.close()
    assert sum(counting.together) == 12
    assert max(counting.together) <= 4


def test_questions_beyond_the_limit_are_refused_until_there_is_room(batcher: Batcher, counting: CountingCore) -> None:
    async def work() -> None:
        held = [asyncio.create_task(batcher.ask(_ask(counting), _soon())) for _ in range(8)]
        await asyncio.sleep(0)
        assert batcher.share.in_flight == 8
        with pytest.raises(
            OverloadedError, match="8 requests are in flight; 1 more would pass the limit of a replica"
        ) as caught:
            await batcher.ask(_ask(counting), _soon())
        assert caught.value.retry_after_s > 0
        assert not any(task.done() for task in held)
        await asyncio.gather(*held)
        assert batcher.share.in_flight == 0
        await batcher.ask(_ask(counting), _soon())

    _run(work)
    assert counting.together == [8, 1]


def test_large_questions_count_as_in_flight(batcher: Batcher, counting: CountingCore) -> None:
    go = threading.Event()
    watch_champion(counting, lambda rows: go.wait(60))

    async def work() -> None:
        held = [asyncio.create_task(batcher.ask(_ask(counting, rows=300), _soon())) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await batcher.ask(_ask(counting), _soon())
        go.set()
        await asyncio.gather(*held)
        await batcher.ask(_ask(counting), _soon())

    _run(work)


@pytest.mark.parametrize("rows", [1, 300])
def test_after_its_deadline_a_question_is_not_computed(batcher: Batcher, counting: CountingCore, rows: int) -> None:
    async def work() -> None:
        with pytest.raises(DeadlineExceededError, match="the deadline passed before the request's turn came"):
            await batcher.ask(_ask(counting, rows=rows), time.monotonic())
        assert batcher.share.in_flight == 0

    _run(work)
    assert counting.together == []


def test_a_passed_deadline_does_not_affect_the_batch(batcher: Batcher, counting: CountingCore) -> None:
    async def work() -> list[Computed | BaseException]:
        asked = [batcher.ask(_ask(counting), deadline) for deadline in (_soon(), time.monotonic(), _soon())]
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(found) for found in _run(work)] == [Computed, DeadlineExceededError, Computed]
    assert counting.together == [2]


def test_a_cancelled_question_is_not_computed_and_makes_room(batcher: Batcher, counting: CountingCore) -> None:
    async def work() -> None:
        tasks = [asyncio.create_task(batcher.ask(_ask(counting), _soon())) for _ in range(8)]
        await asyncio.sleep(0)
        for task in tasks[:7]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in found] == [asyncio.CancelledError] * 7 + [Computed]
        assert batcher.share.in_flight == 0
        await batcher.ask(_ask(counting), _soon())

    _run(work)
    assert counting.together == [1, 1]


def test_nothing_is_computed_if_every_caller_went_away(batcher: Batcher, counting: CountingCore) -> None:
    async def work() -> None:
        task = asyncio.create_task(batcher.ask(_ask(counting), _soon()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for _ in range(5):
            await asyncio.sleep(0)
        assert counting.together == []
        await batcher.ask(_ask(counting), _soon())

    _run(work)


def test_large_questions_do_not_delay_small_ones(batcher: Batcher, counting: CountingCore) -> None:
    small_is_done = threading.Event()

    def wait_for_small(rows: int) -> None:
        if rows >= 300:
            assert small_is_done.wait(60)

    watch_champion(counting, wait_for_small)
    done: list[str] = []

    async def note(name: str, question: Question) -> None:
        await batcher.ask(question, _soon())
        done.append(name)

    async def work() -> None:
        large = [asyncio.create_task(note("large", _ask(counting, rows=300))) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.gather(*(note("small", _ask(counting)) for _ in range(3)))
        small_is_done.set()
        await asyncio.gather(*large)

    _run(work)
    assert done == ["small"] * 3 + ["large"] * 2


def test_small_questions_are_answered_while_a_large_one_is_read(batcher: Batcher, counting: CountingCore) -> None:
    async def work() -> None:
        await asyncio.gather(batcher.ask(_ask(counting, rows=2_500), _soon()), batcher.ask(_ask(counting), _soon()))

    _run(work)
    assert counting.rows == [1, 2_500]


def test_a_large_question_keeps_the_order_of_its_rows(batcher: Batcher, counting: CountingCore) -> None:
    distances = [1.0 + row for row in range(1_300)]

    async def work() -> Computed:
        return await batcher.ask(ask(counting, *(make_flight(distance=d) for d in distances)), _soon())

    found = probabilities_of(_run(work).answer)
    assert found == pytest.approx([expected_probability(d) for d in distances], abs=1e-6)


@pytest.mark.parametrize("rows", [1, 300])
def test_a_refusal_reaches_its_caller_alone(batcher: Batcher, counting: CountingCore, rows: int) -> None:
    async def work() -> list[Computed | BaseException]:
        bad = ask(counting, *[make_flight(distance=-1)] * rows)
        unknown = ask(counting, *[make_flight()] * rows, semantic_version="9.9.9")
        asked = [batcher.ask(question, _soon()) for question in (_ask(counting, rows=rows), bad, unknown)]
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(found) for found in _run(work)] == [Computed, InvalidRequestError, ModelNotFoundError]


@pytest.mark.parametrize("rows", [1, 300])
def test_an_unexpected_error_reaches_every_caller_and_the_next_are_answered(
    batcher: Batcher, counting: CountingCore, rows: int
) -> None:
    broken = [True]

    def break_down(rows: int) -> None:
        if broken[0]:
            raise ZeroDivisionError("broken")

    async def work() -> None:
        found = await asyncio.gather(
            *(batcher.ask(_ask(counting, rows=rows), _soon()) for _ in range(4)), return_exceptions=True
        )
        assert [type(each) for each in found] == [ZeroDivisionError] * 4
        assert batcher.share.in_flight == 0
        broken[0] = False
        assert _probability(await batcher.ask(_ask(counting), _soon())) == pytest.approx(0.5)

    watch_champion(counting, break_down)
    _run(work)


@pytest.mark.parametrize("rows", [1, 300])
def test_it_records_when_the_model_started_and_ended(batcher: Batcher, counting: CountingCore, rows: int) -> None:
    async def work() -> Computed:
        return await batcher.ask(_ask(counting, rows=rows), _soon())

    before = time.time_ns()
    computed = _run(work)
    assert before <= computed.started_ns <= computed.ended_ns <= time.time_ns()
