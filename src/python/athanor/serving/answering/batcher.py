"""Requests that wait are answered together: the busier a replica, the less each costs. None waits for another."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from athanor.contract.messages import to_columns
from athanor.errors import AthanorError, DeadlineExceededError, OverloadedError
from athanor.serving.answering.core import Answer, Core, Question

# Larger ones would make the small ones wait that came meanwhile.
_LARGE_ROWS: Final = 256
_GRAPHS_AT_A_TIME: Final = 2
# Rows that are computed at a time in the event loop, which hears of nothing else meanwhile.
_MOST_ROWS: Final = 512
# Turns of the event loop in which nobody comes, after which nobody else is expected. gRPC takes in one request in some
# four turns. At 8, 32 callers are answered about twice as fast as at 0, and from 16 on a single one waits longer.
_PATIENCE: Final = 8


@dataclass(frozen=True, slots=True)
class Computed:
    """An answer, and when the model began and ended to compute it: nanoseconds since 1970."""

    answer: Answer
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    question: Question
    deadline: float
    computed: "asyncio.Future[Computed]"


class Batcher:
    """Answers from a core, on the event loop of a replica.

    A question is held until the event loop has taken in what else has arrived; then all that are held are computed
    together. Where questions come one at a time, that costs one turn of the event loop.
    """

    def __init__(self, core: Core, max_in_flight: int) -> None:
        """Args: max_in_flight: questions that may be held, or be computed, at a time."""
        self._core = core
        self._max_in_flight = max_in_flight
        self._waiting: list[_Waiting] = []
        self._rows = 0
        self._patience = 0
        self._threads = ThreadPoolExecutor(_GRAPHS_AT_A_TIME, "graphs")
        self.in_flight = 0

    async def ask(self, question: Question, deadline: float) -> Computed:
        """Answers a question.

        Args:
            deadline: until when an answer is of use, by `time.monotonic`.

        Raises:
            OverloadedError: too many are held already.
            DeadlineExceededError: its time was over before its turn came.
            ModelNotFoundError, InvalidRequestError: as `Core.answer`.
        """
        if self.in_flight >= self._max_in_flight:
            raise OverloadedError(f"{self.in_flight} requests are being answered, which is the most; ask again")
        loop = asyncio.get_running_loop()
        self.in_flight += 1
        try:
            if question.count >= _LARGE_ROWS:
                return await self._ask_alone(question, deadline)
            computed: asyncio.Future[Computed] = loop.create_future()
            if not self._waiting:
                loop.call_soon(self._gather, 0, 0)
            self._waiting.append(_Waiting(question, deadline, computed))
            self._rows += question.count
            return await computed
        finally:
            self.in_flight -= 1

    def close(self) -> None:
        self._threads.shutdown()

    def _gather(self, seen: int, quiet: int) -> None:
        """Computes what waits, unless others are on their way.

        Args:
            seen: how many waited in the turn before.
            quiet: turns since one came.
        """
        quiet = quiet + 1 if len(self._waiting) == seen else 0
        if quiet <= self._patience and self._rows < _MOST_ROWS:
            asyncio.get_running_loop().call_soon(self._gather, len(self._waiting), quiet)
            return
        # Who came in company is likely to be followed by others; who comes alone, again and again, is not.
        self._patience = _PATIENCE if len(self._waiting) > 1 else max(0, self._patience - 1)
        waiting, self._waiting, self._rows = self._waiting, [], 0
        # Whose caller has gone away, or waits no longer, is not computed.
        now = time.monotonic()
        for late in (w for w in waiting if w.deadline <= now and not w.computed.done()):
            late.computed.set_exception(_too_late())
        self._compute([w for w in waiting if not w.computed.done()])

    def _compute(self, waiting: Sequence[_Waiting]) -> None:
        if not waiting:
            return
        try:
            answers, started_ns, ended_ns = self._time([w.question for w in waiting])
        except Exception as error:  # noqa: BLE001 - whatever it is, each of them has to hear of it
            for w in waiting:
                w.computed.set_exception(error)
            return
        for w, answer in zip(waiting, answers, strict=True):
            if isinstance(answer, AthanorError):
                w.computed.set_exception(answer)
            else:
                w.computed.set_result(Computed(answer, started_ns, ended_ns))

    async def _ask_alone(self, question: Question, deadline: float) -> Computed:
        """Answers a large one: others have their turn between parts of its rows, and while its graph runs."""
        read = await self._read_in_turns(question)
        if time.monotonic() >= deadline:
            raise _too_late()
        started_ns = time.time_ns()
        prepared = self._core.prepare([read])
        if isinstance(prepared, AthanorError):
            raise prepared
        (answer,) = await asyncio.get_running_loop().run_in_executor(self._threads, prepared.predict)
        if isinstance(answer, AthanorError):
            raise answer
        return Computed(answer, started_ns, time.time_ns())

    async def _read_in_turns(self, question: Question) -> Question:
        if question.columns is not None:
            return question
        columns, parts = self._core.contract.columns, []
        for first in range(0, question.count, _MOST_ROWS):
            parts.append(to_columns(columns, question.messages[first : first + _MOST_ROWS]))
            await asyncio.sleep(0)
        together = {column.name: np.concatenate([part[column.name] for part in parts]) for column in columns}
        return replace(question, columns=together, messages=())

    def _time(self, questions: Sequence[Question]) -> tuple[list[Answer | AthanorError], int, int]:
        started_ns = time.time_ns()
        answers = self._core.answer_together(questions)
        return answers, started_ns, time.time_ns()


def _too_late() -> DeadlineExceededError:
    return DeadlineExceededError("the deadline passed before the request's turn came; ask with a longer one")
