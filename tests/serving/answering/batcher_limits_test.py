"""The limits of what a batcher holds: questions, rows and bytes."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from support.flights import make_flight
from support.serving import ask, watch_champion

from athanor.errors import OverloadedError
from athanor.serving.answering.batching.batcher import Batcher, Computed
from athanor.serving.answering.batching.capacity import Capacity, Share
from athanor.serving.answering.core import Core
from athanor.serving.answering.interface import Question

_NEVER = float("inf")


@pytest.fixture
def go(core: Core) -> Iterator[threading.Event]:
    """The champion computes when it is set."""
    go = threading.Event()
    watch_champion(core, lambda rows: go.wait(60))
    yield go
    go.set()


@pytest.fixture
def batcher(core: Core) -> Iterator[Batcher]:
    core.interface.max_rows = 10_000
    made = Batcher(core, Share(Capacity(8)))
    yield made
    made.share.capacity.threads.close()


def _rows(core: Core, count: int) -> Question:
    return ask(core, *[make_flight()] * count)


@pytest.mark.parametrize("rows", [1, 100, 300])
def test_rows_beyond_the_limit_are_refused_until_there_is_room(
    batcher: Batcher, core: Core, go: threading.Event, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    batcher.share.capacity.rows.limit = 600 + rows

    async def work() -> Computed:
        held = [asyncio.create_task(batcher.ask(_rows(core, 300), _NEVER)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(
            OverloadedError, match=f"600 rows are held; {rows + 1} more would pass the limit of a replica"
        ):
            await batcher.ask(_rows(core, rows + 1), _NEVER)
        assert batcher.share.in_flight == 2
        go.set()
        await asyncio.gather(*held)
        return await batcher.ask(_rows(core, rows + 1), _NEVER)

    assert asyncio.run(asyncio.wait_for(work(), 60)).answer.count == rows + 1


def test_one_question_above_the_limit_is_answered_alone(
    batcher: Batcher, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher.share.capacity.rows.limit = 100
    computed = asyncio.run(asyncio.wait_for(batcher.ask(_rows(core, 300), _NEVER), 60))
    assert computed.answer.count == 300


def test_rows_of_a_caller_that_went_away_make_room(
    batcher: Batcher, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher.share.capacity.rows.limit = 10

    async def work() -> None:
        gone = asyncio.create_task(batcher.ask(_rows(core, 10), _NEVER))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await batcher.ask(_rows(core, 10), _NEVER)

    asyncio.run(asyncio.wait_for(work(), 60))


def test_bytes_beyond_the_limit_are_refused_until_others_are_released(
    batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher.share.capacity.bytes.limit = 100
    # One request alone always has room: `max_message_bytes` may be above the limit.
    batcher.share.reserve(150)
    with pytest.raises(
        OverloadedError, match="150 bytes of requests are held; 1 more would pass the limit of a replica, which has 100"
    ):
        batcher.share.reserve(1)
    batcher.share.release(150)
    batcher.share.reserve(60)
    batcher.share.reserve(40)
    assert batcher.share.bytes == 100
