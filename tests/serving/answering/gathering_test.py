"""Requests that arrive one after another are waited for, whichever models they ask."""

import asyncio

from support.flights import make_flight
from support.serving import ask

from athanor.serving.answering.batching.batcher import Batcher
from athanor.serving.answering.batching.capacity import Capacity, Share
from athanor.serving.answering.core import Core

_NEVER = float("inf")
_A_FEW_TURNS = 4


def test_a_question_waits_for_one_of_another_model_after_two_came_together(core: Core) -> None:
    capacity = Capacity(8)
    first, second = (Batcher(core, Share(capacity)) for _ in range(2))

    async def is_answered_soon() -> bool:
        task = asyncio.create_task(first.ask(ask(core, make_flight()), _NEVER))
        for _ in range(_A_FEW_TURNS):
            await asyncio.sleep(0)
        answered = task.done()
        await task
        return answered

    async def work() -> tuple[bool, bool]:
        alone = await is_answered_soon()
        await asyncio.gather(*(batcher.ask(ask(core, make_flight()), _NEVER) for batcher in (first, second)))
        return alone, await is_answered_soon()

    assert asyncio.run(asyncio.wait_for(work(), 60)) == (True, False)
    capacity.threads.close()
