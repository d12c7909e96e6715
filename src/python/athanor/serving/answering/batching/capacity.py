"""What a replica holds for its callers, shared fairly among its models: requests in flight, rows, bytes and threads."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from athanor.errors import OverloadedError
from athanor.serving.answering.batching.gathering import Gathering

_Result = TypeVar("_Result")

# Limits of what a replica holds, in rows and in received bytes. 200,000 rows take 145 MB and two seconds to answer;
# without limits, 256 of the largest requests would take 1.9 GB for their rows, and up to 4 GiB for slow bodies.
_MOST_ROWS: Final = 200_000
_MOST_BYTES: Final = 256 * 1024 * 1024
# Bodies of one caller that may arrive at once, however small `max_in_flight` is.
_FEWEST_ARRIVING: Final = 2
_GRAPHS_AT_A_TIME: Final = 2


class Pool:
    """A quantity that models hold parts of.

    A model may hold as much as is left free: one busy model half of the limit, two a third each. So there is always
    room for a model that holds nothing yet. The only model of a service may hold all of it.

    Attributes:
        held: by all models.
        models: number of models that share it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.models = 0

    def has_room(self, own: int, more: int) -> bool:
        """Whether a model that holds `own` may hold so much more."""
        free = self.limit - self.held
        return more <= (free - own if self.models > 1 else free)


class Capacity:
    """What a replica may hold in all."""

    def __init__(self, max_in_flight: int) -> None:
        self.requests = Pool(max_in_flight)
        self.rows = Pool(_MOST_ROWS)
        self.bytes = Pool(_MOST_BYTES)
        self.threads = GraphThreads()
        self.gathering = Gathering()
        self._arriving: Counter[str] = Counter()

    def add_model(self, number: int) -> None:
        """Shares with so many models more, or fewer."""
        for pool in (self.requests, self.rows, self.bytes):
            pool.models += number

    @contextmanager
    def arriving(self, caller: str) -> Iterator[None]:
        """Counts a request of a caller within the block, in which its body arrives.

        Raises:
            OverloadedError: too many bodies of this caller are arriving.
        """
        # The other half is for others: bodies that stall are held until their deadline.
        most = max(_FEWEST_ARRIVING, self.requests.limit // 2)
        if self._arriving[caller] >= most:
            raise OverloadedError(f"{most} requests of this caller have not arrived in whole, its limit; retry later")
        self._arriving[caller] += 1
        try:
            yield
        finally:
            self._arriving[caller] -= 1
            if not self._arriving[caller]:
                del self._arriving[caller]


class Share:
    """What the requests of one model hold of a replica's capacity. For the event loop alone.

    Attributes:
        in_flight: number of requests that are being read, wait or are being computed.
        rows, bytes: held by them; bytes from their arrival until they are answered.
    """

    def __init__(self, capacity: Capacity, model: str = "", max_in_flight: int | None = None) -> None:
        """A share that holds nothing yet.

        Args:
            model: "" for requests that have not named their model yet.
            max_in_flight: of this model; None for its fair share alone.
        """
        self.capacity = capacity
        self.in_flight = self.rows = self.bytes = 0
        self._model = model
        self._max_in_flight = max_in_flight

    def begin(self) -> None:
        """Counts a request as in flight. Raises OverloadedError if too many are."""
        pool = self.capacity.requests
        if self.in_flight == self._max_in_flight:
            raise OverloadedError(
                f"{self.in_flight} requests of {self._model} are in flight, the limit of this model; retry later"
            )
        if not pool.has_room(self.in_flight, 1):
            raise OverloadedError(self._refuse(pool, self.in_flight, "requests are in flight"))
        self.in_flight += 1
        pool.held += 1

    def end(self) -> None:
        self.in_flight -= 1
        self.capacity.requests.held -= 1

    def reserve(self, size_bytes: int) -> None:
        """Counts bytes of a request as held until they are released. Raises OverloadedError if they are too many."""
        pool = self.capacity.bytes
        # A single request always has room.
        if pool.held and not pool.has_room(self.bytes, size_bytes):
            raise OverloadedError(self._refuse(pool, self.bytes, "bytes of requests are held", size_bytes))
        self.bytes += size_bytes
        pool.held += size_bytes

    def release(self, size_bytes: int) -> None:
        self.bytes -= size_bytes
        self.capacity.bytes.held -= size_bytes

    def hold(self, rows: int) -> None:
        """Counts a request and its rows until `drop`. Raises OverloadedError if they are too many."""
        self.begin()
        pool = self.capacity.rows
        # A single question always has room: `max_rows` may be above the limit.
        if pool.held and not pool.has_room(self.rows, rows):
            self.end()
            raise OverloadedError(self._refuse(pool, self.rows, "rows are held", rows))
        self.rows += rows
        pool.held += rows

    def drop(self, rows: int) -> None:
        self.rows -= rows
        self.capacity.rows.held -= rows
        self.end()

    def _refuse(self, pool: Pool, own: int, what: str, more: int = 1) -> str:
        of_model = f", {own} of them for {self._model}" if self._model and pool.models > 1 else ""
        share = "its share of a replica" if of_model else "the limit of a replica"
        return f"{pool.held} {what}{of_model}; {more} more would pass {share}, which has {pool.limit}; retry later"


class GraphThreads:
    """Runs the graphs of large questions in a few threads, a turn for each model that has work.

    For the event loop alone, but for the work.
    """

    def __init__(self, threads: int = _GRAPHS_AT_A_TIME) -> None:
        self._pool = ThreadPoolExecutor(threads, "graphs")
        self._free = threads
        # By model; the first one's turn is next.
        self._waiting: dict[str, deque[tuple[Callable[[], Any], asyncio.Future[Any]]]] = {}

    def run(self, model: str, work: Callable[[], _Result]) -> "asyncio.Future[_Result]":
        """The result of work, which runs once it is the model's turn. Work that was cancelled before does not run."""
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(model, deque()).append((work, future))
        self._start()
        return future

    def close(self) -> None:
        self._pool.shutdown()

    def _start(self) -> None:
        while self._free and self._waiting:
            model = next(iter(self._waiting))
            queue = self._waiting.pop(model)
            work, future = queue.popleft()
            if queue:
                # At the end: all others come first.
                self._waiting[model] = queue
            if not future.done():
                self._free -= 1
                self._pool.submit(work).add_done_callback(self._ending(future))

    def _ending(self, future: "asyncio.Future[Any]") -> "Callable[[Future[Any]], None]":
        def end_soon(done: "Future[Any]") -> None:
            # The loop is closed where a replica ended without waiting for its callers.
            with suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(self._end, future, done)

        return end_soon

    def _end(self, future: "asyncio.Future[Any]", done: "Future[Any]") -> None:
        self._free += 1
        self._start()
        if future.done():
            return
        error = done.exception()
        if isinstance(error, StopIteration):
            # A future refuses it, and the caller would wait for ever.
            stopped = RuntimeError("the model raised StopIteration")
            stopped.__cause__ = error
            future.set_exception(stopped)
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(done.result())
