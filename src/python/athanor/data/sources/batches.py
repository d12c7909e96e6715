"""Streams of Arrow tables: cut to size, and made ahead of whoever takes them."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

import pyarrow as pa

Batches: TypeAlias = Iterator[tuple[pa.Table, int]]
"""Tables, each with how much of the whole it was, in units that the whole is counted in."""

_Item = TypeVar("_Item")


def read_ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """The same items, the next one being made in a thread while the last is used; never more than one ahead.

    The thread is Python's own: it ends after the item it is making, and the interpreter waits for it. Arrow's readers
    of Python files leave theirs behind when they are given up halfway, which aborts the process on its way out.
    """
    source = iter(items)
    worker = ThreadPoolExecutor(max_workers=1)
    try:
        coming = worker.submit(_take, source)
        while taken := coming.result():
            coming = worker.submit(_take, source)
            yield taken[0]
    finally:
        # Without waiting: who gives an iterator up leaves it to the garbage collector, which closes it in the middle of
        # whatever a thread does, the start of another thread included. Waiting there may be waiting for oneself.
        worker.shutdown(wait=False, cancel_futures=True)


def _take(source: Iterator[_Item]) -> tuple[_Item] | None:
    """The next item in a tuple, for any item may be falsy."""
    for item in source:
        return (item,)
    return None


def rebatch(tables: Iterable[tuple[pa.Table, int]], rows: int) -> Batches:
    """The same rows in tables of exactly `rows` rows, but for the last; nothing is copied.

    An empty last table is left out, unless it is the only one. The amounts add up to what they did.
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
