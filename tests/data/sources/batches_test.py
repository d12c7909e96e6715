"""Streams are cut to size and made ahead, and lose nothing."""

import gc
import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from athanor.data.sources.batches import read_ahead, rebatch


def _cut(lengths: list[int], amounts: list[int]) -> Iterator[tuple[pa.Table, int]]:
    start = 0
    for length, amount in zip(lengths, amounts, strict=True):
        yield pa.table({"row": pa.array(range(start, start + length), pa.int64())}), amount
        start += length


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=9), st.integers(1, 6))
def test_rows_and_amounts_stay_whatever_the_cut(parts: list[tuple[int, int]], rows: int) -> None:
    lengths, amounts = [length for length, _ in parts], [amount for _, amount in parts]
    batches = list(rebatch(_cut(lengths, amounts), rows))
    found = pa.concat_tables([table for table, _ in batches])["row"].to_pylist()
    assert found == list(range(sum(lengths)))
    assert sum(amount for _, amount in batches) == sum(amounts)
    assert {table.num_rows for table, _ in batches[:-1]} <= {rows}
    assert min(amount for _, amount in batches) >= 0


def test_no_rows_are_one_batch_with_columns() -> None:
    ((table, amount),) = rebatch(_cut([0, 0], [0, 0]), 10)
    assert (table.column_names, table.num_rows, amount) == (["row"], 0, 0)


def test_rows_that_fill_the_last_batch_leave_no_empty_one() -> None:
    assert [table.num_rows for table, _ in rebatch(_cut([4, 2], [4, 2]), 3)] == [3, 3]


def test_no_tables_give_no_batches() -> None:
    assert list(rebatch(iter(()), 3)) == []
    assert list(read_ahead(())) == []


def test_items_come_in_order_whether_or_not_they_are_falsy() -> None:
    assert list(read_ahead([0, "", None, 3])) == [0, "", None, 3]


def test_one_item_is_made_ahead_and_no_more() -> None:
    made: list[int] = []
    is_second_made = threading.Event()

    def make() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 1:
                is_second_made.set()
            yield number

    items = read_ahead(make())
    next(items)
    assert is_second_made.wait(60)
    assert made == [0, 1]
    items.close()  # type: ignore[attr-defined]  # generators have it
    assert made == [0, 1]


def test_an_error_comes_where_its_item_would_have() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise OSError("disk gone")

    items = read_ahead(make())
    assert next(items) == 1
    with pytest.raises(OSError, match="disk gone"):
        next(items)


def test_an_abandoned_iterator_does_not_block() -> None:
    """The garbage collector closes them in the middle of other work, such as the start of a thread."""
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(300):
            given_up = read_ahead(range(5))
            next(given_up)
            cycle: list[object] = [given_up]
            cycle.append(cycle)
            del given_up, cycle
            thread = threading.Thread(target=list, args=(read_ahead(range(3)),))
            thread.start()
            thread.join()
    finally:
        gc.set_threshold(*before)
