"""Sends a service many requests, several at a time, and keeps what came of each."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

_SHOWN: Final = 300
_SHOWN_OF_ERROR: Final = 60
# Offenders that are kept to be shown.
_KEPT: Final = 5


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        is_good: whether nothing is wrong with it.
        headers: beside those that let it in; names and values may be what no library would write.
    """

    content: bytes
    is_good: bool = False
    headers: tuple[tuple[str | bytes, str | bytes], ...] = ()


Send = Callable[[Request], Awaitable[str]]
"""Sends a request and returns what came of it: the name of gRPC's code, HTTP's status, or other words."""


@dataclass
class Record:
    """What came of the requests.

    Attributes:
        kinds: how often each outcome came.
        offenders: the first of the requests whose outcome may not be, by outcome.
    """

    allowed: frozenset[str]
    kinds: Counter[str] = field(default_factory=Counter)
    offenders: dict[str, list[Request]] = field(default_factory=dict)

    def add(self, request: Request, outcome: str) -> None:
        self.kinds[outcome] += 1
        if outcome not in self.allowed:
            found = self.offenders.setdefault(outcome, [])
            if len(found) < _KEPT:
                found.append(request)

    def describe(self) -> str:
        """What may not be, with the requests that it came of; empty where all is well."""
        return "\n".join(
            f"{outcome} ({self.kinds[outcome]} times), as of {_show(request)}"
            for outcome, requests in self.offenders.items()
            for request in requests
        )


def _show(request: Request) -> str:
    content = request.content
    shown = content if len(content) <= _SHOWN else content[:_SHOWN] + b"..."
    headers: Mapping[str | bytes, str | bytes] = dict(request.headers)
    return f"{len(content)} bytes {shown!r} with {str(headers)[:_SHOWN]}"


async def storm(send: Send, requests: Iterable[Request], allowed: Iterable[str], at_once: int) -> Record:
    """Sends all requests, `at_once` at a time. An exception is an outcome too: by its name."""
    record = Record(frozenset(allowed))
    left = iter(requests)

    async def work() -> None:
        for request in left:
            try:
                outcome = await send(request)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what came of the request
                outcome = f"{type(error).__name__}: {str(error)[:_SHOWN_OF_ERROR]}"
            record.add(request, outcome)

    await asyncio.gather(*(work() for _ in range(at_once)))
    return record
