"""Streams of Arrow tables: rebatched to a size, and prefetched."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

import pyarrow as pa

Batches: TypeAlias = Iterator[tuple[pa.Table, int]]
"""Tables, each with its share of the whole, in the unit in which the whole is counted."""

_Item = TypeVar("_Item")


def read_ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """The same items, prefetched: a thread makes the next item while the caller uses the last, never more than one.

    The thread belongs to Python: it ends after the current item, and the interpreter joins it on exit. Arrow's readers
    of Python files leave their threads running when an iterator is abandoned, which aborts the process on exit.
    """
    source = iter(items)
    worker = ThreadPoolExecutor(max_workers=1)
    try:
        coming = worker.submit(_take, source)
        while taken := coming.result():
            coming = worker.submit(_take, source)
            yield taken[0]
    finally:
        # Without waiting: the garbage collector closes an abandoned iterator at an arbitrary point of any thread, even
        # while that thread starts another one. Waiting there could deadlock.
        worker.shutdown(wait=False, cancel_futures=True)


def _take(source: Iterator[_Item]) -> tuple[_Item] | None:
    """The next item in a tuple, because an item may be falsy; None at the end."""
    for item in source:
        return (item,)
    return None


def rebatch(tables: Iterable[tuple[pa.Table, int]], rows: int) -> Batches:
    """The same rows in tables of exactly `rows` rows, except the last; copies nothing.

    Drops an empty last table, unless it is the only one. The sum of the amounts stays the same.
    """
    held: list[pa.Table] = []
    length, amount, is_first = 0, 0, True
    for table, share in tables:
        held.append(table)
        length, amount = length + table.num_rows, amount + share
        if length < rows:
            continue
        whole = pa.concat_tables(held)
        for start in range(0, length - rows + 1, rows):
            part = amount * rows // (length - start)
            amount -= part
            yield whole.slice(start, rows), part
        held, length, is_first = [whole.slice(length - length % rows)], length % rows, False
    if held and (length or amount or is_first):
        yield pa.concat_tables(held), amount
