import tracemalloc
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from support.flights import make_columns, make_unshared_columns

from athanor.serving.telemetry.predictions.queue import Counts, EntryQueue, Limits, SharedMemory
from athanor.serving.telemetry.predictions.rows import Entry, EntryShape
from projects.delays.model import MODEL

_CONTRACT: Final = MODEL.contract


def make_queues(count: int, **limits: Any) -> tuple[EntryQueue, ...]:
    """Queues of as many models, which share their memory."""
    shared = SharedMemory(Limits(**limits))
    return tuple(EntryQueue(_CONTRACT, shared, Counts()) for _ in range(count))


def make_queue(**limits: Any) -> EntryQueue:
    return make_queues(1, **limits)[0]


def entry(columns: Any, first: int, count: int, probabilities: NDArray[np.float64] | None = None) -> Entry:
    found = {_CONTRACT.prediction.name: np.full(count, 0.5) if probabilities is None else probabilities}
    return Entry("r" * 128, 0, "inspection", "challenger", "100.100.100", "d" * 64, columns, first, found)


def test_rows_beyond_the_limit_are_refused_until_others_are_released() -> None:
    queue = make_queue(rows=25)
    columns = make_columns(10)
    assert [queue.put(entry(columns, 0, 10)) for _ in range(3)] == [True, True, False]
    assert queue._counts.dropped == {"queue": 10, "failed": 0}
    assert queue.put(entry(columns, 0, 5))
    entries, size = queue.take()
    assert [each.rows for each in entries] == [10, 10, 5]
    assert not queue.put(entry(columns, 0, 1))
    queue.release(25, size)
    assert (queue.rows, queue.bytes) == (0, 0)
    assert queue.put(entry(columns, 0, 25))


def test_bytes_beyond_the_limit_are_refused_until_others_are_released() -> None:
    queue = make_queue(bytes=3_000_000)
    columns = [make_columns(1), make_columns(1)]
    for each in columns:
        each["destination"] = np.array(["x" * 1_000_000], dtype=object)
    assert [queue.put(entry(each, 0, 1)) for each in columns] == [True, False]
    _, size = queue.take()
    assert not queue.put(entry(columns[1], 0, 1))
    queue.release(1, size)
    assert queue.put(entry(columns[1], 0, 1))


def test_a_few_rows_count_with_the_whole_batch_and_further_rows_of_it_with_themselves() -> None:
    queue = make_queue()
    columns, probabilities = make_unshared_columns(700), np.full(700, 0.5)
    queue.put(entry(columns, 3, 2, probabilities[3:5]))
    first = queue.bytes
    assert first > sum(array.nbytes for array in (*columns.values(), probabilities))
    queue.put(entry(columns, 5, 1, probabilities[5:6]))
    assert queue.bytes - first < 1_000
    # Once taken out, the batch belongs to the caller: further rows of it count with the whole batch again.
    _, size = queue.take()
    queue.put(entry(columns, 6, 1, probabilities[6:7]))
    assert queue.bytes - size > 0.9 * first


def test_a_view_counts_with_all_that_it_is_a_view_of() -> None:
    queue = make_queue()
    columns = make_columns(1)
    columns["distance"] = np.frombuffer(bytes(1_000_000))[:1]
    columns["temperature"] = np.zeros(200_000)[:1]
    queue.put(entry(columns, 0, 1, np.zeros(300_000)[:1]))
    assert queue.bytes > 1_000_000 + 1_600_000 + 2_400_000


@pytest.mark.parametrize(("rows", "kept", "count"), [(1, 1, 500), (767, 1, 20), (767, 767, 20), (10_000, 10_000, 2)])
def test_entries_keep_no_more_alive_than_is_counted_nor_do_their_record_batches(
    rows: int, kept: int, count: int
) -> None:
    queue, shape = make_queue(rows=10**9, bytes=10**12), EntryShape(_CONTRACT)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(count):
            queue.put(entry(make_unshared_columns(rows), 0, kept, np.full(rows, 0.5)[:kept]))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    entries, size = queue.take()
    batches = sum(batch.nbytes for batch in shape.batches(entries))
    assert len(entries) == count
    assert after - before + batches <= size


def test_writing_starts_well_before_there_is_no_room() -> None:
    columns = make_columns(10)
    by_rows, by_bytes = make_queue(rows=100), make_queue(bytes=120_000)
    for queue in (by_rows, by_bytes):
        taken = 0
        while not queue._shared.should_write:
            assert queue.put(entry(columns, 0, 1))
            taken += 1
        assert taken >= 10
        assert queue.put(entry(columns, 0, 10))
        queue.take()
        assert not queue._shared.should_write


def test_a_closed_queue_refuses_all() -> None:
    queue = make_queue()
    queue.close()
    assert not queue.put(entry(make_columns(1), 0, 1))


def test_one_of_several_queues_leaves_as_much_free_as_it_holds() -> None:
    flooded, quiet, third = make_queues(3, rows=120)
    columns = make_columns(10)
    assert [flooded.put(entry(columns, 0, 10)) for _ in range(8)] == [True] * 6 + [False] * 2
    assert [quiet.put(entry(columns, 0, 10)) for _ in range(5)] == [True] * 3 + [False] * 2
    assert third.put(entry(columns, 0, 10))
    assert [queue._counts.refused for queue in (flooded, quiet, third)] == [20, 20, 0]


def test_bytes_are_shared_as_rows_are() -> None:
    flooded, quiet = make_queues(2, bytes=1_000_000)
    while flooded.put(entry(make_unshared_columns(10), 0, 10)):
        pass
    # What is left free, and half of the last entry.
    assert 450_000 < flooded.bytes <= 510_000
    while quiet.put(entry(make_unshared_columns(10), 0, 10)):
        pass
    assert 200_000 < quiet.bytes <= 260_000


def test_the_only_queue_may_hold_everything_also_once_the_others_are_closed() -> None:
    remaining, leaving = make_queues(2, rows=100)
    columns = make_columns(10)
    assert leaving.put(entry(columns, 0, 10))
    _, size = leaving.take()
    leaving.close()
    leaving.close()
    assert [remaining.put(entry(columns, 0, 10)) for _ in range(10)] == [True] * 9 + [False]
    # What was taken out of a closed queue counts until it is in a file.
    leaving.release(10, size)
    assert remaining.put(entry(columns, 0, 10))
