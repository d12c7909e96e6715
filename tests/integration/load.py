"""A constant load of single-row calls by our own client, and whether each was answered by what took traffic then."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeAlias

from integration.service import PROJECT, Service

from athanor.client.aio import AsyncClient, connect
from athanor.errors import AthanorError

_CALLERS: Final = 16
# Of all attempts of a call: a service that is on its way back is waited for, however slow the machine is.
CALL_TIMEOUT_S: Final = 240.0


@dataclass(frozen=True)
class Answered:
    """One call that was answered.

    Attributes:
        row: its position among the rows that are asked.
        began, ended: by `time.monotonic`.
        digest: of the release that answered.
    """

    row: int
    began: float
    ended: float
    version: str
    probability: float
    digest: str = ""


class Said(NamedTuple):
    """What an answer says."""

    version: str
    digest: str
    probability: float


Ask: TypeAlias = Callable[[int], Awaitable[Said]]
"""Asks about the row at a position. Raises AthanorError."""


@dataclass
class Load:
    """Asks as long as the context lasts, from a thread of its own.

    Attributes:
        answers: in the order in which they ended.
        lost: what was said of the calls that were not answered.
        retries: calls that the client sent again.
        allow_plaintext: whether the token may go over a network.
    """

    service: Service
    rows: Sequence[Any]
    calls_per_s: float
    retry: Any = None
    answers: list[Answered] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    retries: int = 0
    allow_plaintext: bool = False

    def __enter__(self) -> Self:
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def wait_for_answers(self, count: int, timeout_s: float = CALL_TIMEOUT_S) -> float:
        """Waits for calls that begin from now on to be answered; returns the seconds until the first one was."""
        began, deadline = time.monotonic(), time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = [answer.ended for answer in self.answers[-count * _CALLERS :] if answer.began > began]
            if len(found) >= count:
                return min(found) - began
            time.sleep(0.01)
        lost = f"{len(self.lost)} were lost, the last by {self.lost[-1]}" if self.lost else "none was lost"
        raise AssertionError(f"{count} calls were not answered within {timeout_s:g} s; {lost}")

    async def _run(self) -> None:
        # A token of this machine is found by the client only where the service is.
        token = self.service.token if self.allow_plaintext else None
        async with connect(
            self.service.grpc,
            token=token,
            home=self.service.home.path,
            retry=self.retry,
            allow_plaintext=self.allow_plaintext,
        ) as connection:
            client = AsyncClient(PROJECT, connection)
            await self._keep_asking([lambda row: ask_typed(client, self.rows[row])])
            self.retries += client.retries

    async def _keep_asking(self, doors: Sequence[Ask]) -> None:
        """Asks by all callers, each by a door of its own."""
        await asyncio.gather(*(self._call(doors[caller % len(doors)], caller) for caller in range(_CALLERS)))

    async def _call(self, ask: Ask, caller: int) -> None:
        next_at = time.monotonic() + caller / self.calls_per_s
        row = caller
        while not self._ending.is_set():
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            # Who waited long for an answer does not hurry afterwards.
            next_at = max(next_at, time.monotonic()) + _CALLERS / self.calls_per_s
            row = (row + _CALLERS + 1) % len(self.rows)
            began = time.monotonic()
            try:
                said = await ask(row)
            except AthanorError as error:
                self._note_failure(row, began, time.monotonic(), error)
                continue
            ended = time.monotonic()
            self.answers.append(Answered(row, began, ended, said.version, said.probability, said.digest))

    def _note_failure(self, row: int, began: float, ended: float, error: AthanorError) -> None:
        self.lost.append(f"row {row}, {type(error).__name__} after {ended - began:.1f} s: {error}")


@dataclass
class ModelLoad(Load):
    """A load on any model, whose contract our client reads by reflection. The rows are flights.

    Attributes:
        model: its name.
    """

    model: str = PROJECT

    async def _run(self) -> None:
        async with connect(self.service.grpc, home=self.service.home.path, retry=self.retry) as connection:
            client = await AsyncClient.from_reflection(self.model, connection)
            rows = [client.row_class.FromString(row.SerializeToString()) for row in self.rows]
            await self._keep_asking([lambda row: ask_typed(client, rows[row])])
            self.retries += client.retries


async def ask_typed(client: AsyncClient, row: Any) -> Said:
    """Asks about a row by the typed method."""
    response = await client.predict([row], timeout_s=CALL_TIMEOUT_S)
    (prediction,) = response.predictions
    return Said(response.semantic_version, response.release_digest, prediction.late_probability)


@dataclass(frozen=True)
class Period:
    """How long a traffic file may be answered by, by `time.monotonic`.

    Attributes:
        versions: those that answer.
        begins: before it was published.
        ends: when every replica had said that it follows a later one.
    """

    versions: frozenset[str]
    begins: float
    ends: float = inf


def find_strangers(answers: Iterable[Answered], periods: Sequence[Period]) -> list[Answered]:
    """Answers by a version that was in no traffic file between the beginning and the end of the call."""
    return [
        answer
        for answer in answers
        if not any(
            answer.version in period.versions and answer.began < period.ends and answer.ended > period.begins
            for period in periods
        )
    ]


def find_wrong(
    answers: Iterable[Answered], expected: Mapping[str, Sequence[float]], tolerance: float
) -> list[Answered]:
    """Answers with another number than that of the version that they name."""
    wrong = []
    for answer in answers:
        number = inf
        with suppress(KeyError):
            number = expected[answer.version][answer.row]
        if not abs(answer.probability - number) <= tolerance:
            wrong.append(answer)
    return wrong
