"""Answers requests that arrive together in one batch: the busier a replica, the less each costs."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from athanor.contract.messages import to_columns
from athanor.errors import DeadlineExceededError, InvalidRequestError
from athanor.serving.answering.batching.capacity import Share
from athanor.serving.answering.batching.gathering import BATCH_ROWS
from athanor.serving.answering.core import Core
from athanor.serving.answering.interface import Question
from athanor.serving.answering.prepared import Answer

# A larger question runs in a thread: in the event loop it would hold up the small ones that arrive meanwhile.
_LARGE_ROWS: Final = 256


@dataclass(frozen=True, slots=True)
class Computed:
    """An answer, and when the model started and ended computing it: nanoseconds since 1970."""

    answer: Answer
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class _Pending:
    question: Question
    deadline: float
    computed: "asyncio.Future[Computed]"


class Batcher:
    """Answers questions from a core, on the event loop of a replica.

    A question waits until the event loop has read the other requests that have arrived; then all are computed in one
    batch. To a question that arrives alone this adds one turn of the event loop.

    Attributes:
        share: what the model's requests hold of the replica.
        rows: of the questions that wait.
    """

    def __init__(self, core: Core, share: Share) -> None:
        self.share = share
        self._core = core
        self._threads = share.capacity.threads
        self._pending: list[_Pending] = []
        self.rows = 0
        self._gathering = share.capacity.gathering

    async def ask(self, question: Question, deadline: float) -> Computed:
        """Answers a question.

        Args:
            deadline: until when the answer is of use, by `time.monotonic`.

        Raises:
            OverloadedError: too many questions, or rows, are in flight.
            DeadlineExceededError: the deadline passed before the question's turn came.
            ModelNotFoundError, InvalidRequestError, InvalidAnswerError: as `Core.answer`.
        """
        self.share.hold(question.count)
        try:
            if question.count >= _LARGE_ROWS:
                return await self._ask_alone(question, deadline)
            loop = asyncio.get_running_loop()
            computed: asyncio.Future[Computed] = loop.create_future()
            self._pending.append(_Pending(question, deadline, computed))
            self.rows += question.count
            self._gathering.add(self)
            return await computed
        finally:
            self.share.drop(question.count)

    def compute(self) -> None:
        """Answers the pending questions."""
        pending, self._pending, self.rows = self._pending, [], 0
        now = time.monotonic()
        for expired in (p for p in pending if p.deadline <= now and not p.computed.done()):
            expired.computed.set_exception(_deadline_exceeded())
        # Cancelled ones are done too: their callers went away.
        self._compute([p for p in pending if not p.computed.done()])

    def _compute(self, pending: Sequence[_Pending]) -> None:
        if not pending:
            return
        started_ns = time.time_ns()
        questions = [p.question for p in pending]
        try:
            _resolve(pending, self._core.compute(questions), started_ns)
        except Exception as error:  # noqa: BLE001 - features and graphs raise anything
            self._compute_apart(pending, questions, error, started_ns)

    def _compute_apart(
        self, pending: Sequence[_Pending], questions: Sequence[Question], failure: Exception, started_ns: int
    ) -> None:
        """Finds the questions at fault in a thread; the event loop serves others meanwhile."""
        loop = asyncio.get_running_loop()

        def work() -> None:
            for position, answer in self._core.answer_apart(questions, failure):
                loop.call_soon_threadsafe(_resolve, [pending[position]], [answer], started_ns)

        def end(done: "asyncio.Future[None]") -> None:
            if error := done.exception():
                _resolve(pending, [error] * len(pending), started_ns)

        self._threads.run(self._core.model, work).add_done_callback(end)

    async def _ask_alone(self, question: Question, deadline: float) -> Computed:
        """Answers a large question. The event loop serves others between parts of its rows and while its graph runs."""
        read = await self._read_in_turns(question)
        if time.monotonic() >= deadline:
            raise _deadline_exceeded()
        started_ns = time.time_ns()
        answer = await self._compute_alone(read)
        if isinstance(answer, Exception):
            raise answer
        return Computed(answer, started_ns, time.time_ns())

    async def _compute_alone(self, question: Question) -> Answer | Exception:
        run = partial(self._threads.run, self._core.model)
        try:
            prepared = await run(lambda: self._core.prepare([question]))
            if isinstance(prepared, InvalidRequestError):
                return prepared
            (answer,) = await run(prepared.predict)
        except Exception as failure:  # noqa: BLE001 - features and graphs raise anything
            error = failure
            ((_, answer),) = await run(lambda: list(self._core.answer_apart([question], error)))
        return answer

    async def _read_in_turns(self, question: Question) -> Question:
        if question.columns is not None:
            return question
        columns, parts = question.contract.columns, []
        for first in range(0, question.count, BATCH_ROWS):
            parts.append(to_columns(columns, question.messages[first : first + BATCH_ROWS]))
            await asyncio.sleep(0)
        together = {column.name: np.concatenate([part[column.name] for part in parts]) for column in columns}
        return replace(question, columns=together)


def _resolve(pending: Sequence[_Pending], answers: Sequence[Answer | BaseException], started_ns: int) -> None:
    ended_ns = time.time_ns()
    for p, answer in zip(pending, answers, strict=True):
        # The caller may have gone away meanwhile.
        if p.computed.done():
            continue
        if isinstance(answer, StopIteration):
            # A future refuses it, and the caller would wait for ever.
            failure = RuntimeError("the model raised StopIteration")
            failure.__cause__ = answer
            p.computed.set_exception(failure)
        elif isinstance(answer, BaseException):
            p.computed.set_exception(answer)
        else:
            p.computed.set_result(Computed(answer, started_ns, ended_ns))


def _deadline_exceeded() -> DeadlineExceededError:
    return DeadlineExceededError("the deadline passed before the request's turn came; retry with a longer one")
