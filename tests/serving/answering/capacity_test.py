"""What a replica holds is shared fairly among its models: requests, rows, bytes and threads."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from athanor.errors import OverloadedError
from athanor.serving.answering.batching.capacity import Capacity, GraphThreads, Share


def _fill(share: Share) -> int:
    """Begins requests until one is refused. Returns how many are in flight."""
    with suppress(OverloadedError):
        while True:
            share.begin()
    return share.in_flight


def _shares(*models: str, most: int = 12) -> list[Share]:
    capacity = Capacity(most)
    capacity.add_model(len(models))
    return [Share(capacity, model) for model in models]


def test_the_only_model_may_hold_all() -> None:
    (alone,) = _shares("delays")
    assert _fill(alone) == 12


def test_a_busy_model_leaves_room_for_the_others() -> None:
    busy, also_busy, idle = _shares("delays", "fares", "rain")
    assert _fill(busy) == 6
    assert _fill(also_busy) == 3
    idle.begin()
    busy.end()
    busy.end()
    assert busy.in_flight == 4
    with pytest.raises(
        OverloadedError, match=r"8 requests are in flight, 4 of them for delays; 1 more would pass its sh"
    ):
        busy.begin()
    assert _fill(also_busy) >= 3


def test_a_model_may_hold_all_again_once_the_others_left() -> None:
    busy, gone = _shares("delays", "fares")
    assert _fill(busy) == 6
    gone.capacity.add_model(-1)
    assert _fill(busy) == 12


def test_a_model_has_a_limit_of_its_own_where_one_is_set() -> None:
    capacity = Capacity(100)
    limited = Share(capacity, "delays", max_in_flight=3)
    assert _fill(limited) == 3
    with pytest.raises(OverloadedError, match="3 requests of delays are in flight, the limit of this model"):
        limited.begin()
    Share(capacity, "fares").begin()


@pytest.mark.parametrize(("hold", "drop"), [(Share.hold, Share.drop), (Share.reserve, Share.release)])
def test_rows_and_bytes_are_shared_too(hold: Callable[[Share, int], None], drop: Callable[[Share, int], None]) -> None:
    busy, idle = _shares("delays", "fares", most=1_000)
    capacity = busy.capacity
    capacity.rows.limit = capacity.bytes.limit = 100
    hold(busy, 50)
    with pytest.raises(OverloadedError, match="its share of a replica, which has 100"):
        hold(busy, 1)
    hold(idle, 25)
    drop(busy, 50)
    drop(idle, 25)
    assert (capacity.rows.held, capacity.bytes.held, capacity.requests.held) == (0, 0, 0)
    # A single one always has room.
    hold(idle, 1_000)


def test_what_is_refused_holds_nothing() -> None:
    busy, _ = _shares("delays", "fares")
    busy.capacity.rows.limit = 10
    busy.hold(5)
    with pytest.raises(OverloadedError):
        busy.hold(5)
    assert (busy.in_flight, busy.rows) == (1, 5)


def test_models_with_work_for_the_threads_take_turns() -> None:
    order, go = list[str](), threading.Event()

    async def work() -> None:
        threads = GraphThreads(1)
        first = threads.run("busy", lambda: go.wait(60))
        waiting = [threads.run("busy", lambda: order.append("busy")) for _ in range(3)]
        waiting += [threads.run(model, partial(order.append, model)) for model in ("idle", "other")]
        go.set()
        await asyncio.gather(first, *waiting)
        threads.close()

    asyncio.run(asyncio.wait_for(work(), 60))
    assert order == ["busy", "idle", "other", "busy", "busy"]


def test_work_that_was_cancelled_before_its_turn_does_not_run() -> None:
    done, go = list[str](), threading.Event()

    async def work() -> None:
        threads = GraphThreads(1)
        first = threads.run("delays", lambda: go.wait(60))
        gone = threads.run("delays", lambda: done.append("gone"))
        last = threads.run("delays", lambda: done.append("last"))
        gone.cancel()
        go.set()
        await asyncio.gather(first, last)
        threads.close()

    asyncio.run(asyncio.wait_for(work(), 60))
    assert done == ["last"]


@pytest.mark.parametrize("error", [ValueError("a graph fails"), StopIteration()])
def test_what_work_raises_reaches_its_caller_and_the_thread_goes_on(error: Exception) -> None:
    def fail() -> None:
        raise error

    async def work() -> object:
        threads = GraphThreads(1)
        (raised,) = await asyncio.gather(threads.run("delays", fail), return_exceptions=True)
        assert await threads.run("delays", lambda: 7) == 7
        threads.close()
        return raised

    raised = asyncio.run(asyncio.wait_for(work(), 60))
    assert raised is error or (isinstance(raised, RuntimeError) and raised.__cause__ is error)
