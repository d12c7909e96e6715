"""When requests that have arrived are computed: as soon as no others are likely to follow them."""

import asyncio
from typing import Final, Protocol

BATCH_ROWS: Final = 512
"""Rows computed at a time in the event loop, which does nothing else meanwhile."""

# Quiet turns of the event loop before a batch is computed. gRPC takes in a request in about four turns. At 8, 32
# callers are answered about twice as fast as at 0; from 16 on, a single caller waits longer.
_PATIENCE: Final = 8


class Waiting(Protocol):
    """Questions of one model that wait.

    Attributes:
        rows: of all of them.
    """

    rows: int

    def compute(self) -> None:
        """Answers them."""


class Gathering:
    """Waits for requests that are likely to follow those that have arrived, whichever model they ask.

    One for all models of a replica. With one for each, callers of fifty models were answered 0.87 times as fast.
    """

    def __init__(self) -> None:
        self._batchers: list[Waiting] = []
        self._count = 0
        self._patience = 0

    def add(self, batcher: Waiting) -> None:
        """A question for a batcher has arrived."""
        if not self._count:
            asyncio.get_running_loop().call_soon(self._gather, 0, 0)
        self._count += 1
        if batcher not in self._batchers:
            self._batchers.append(batcher)

    def _gather(self, seen: int, quiet: int) -> None:
        """Has the pending questions computed, unless others are likely to follow.

        Args:
            seen: number of pending questions in the turn before.
            quiet: number of turns since a question arrived.
        """
        quiet = quiet + 1 if self._count == seen else 0
        rows = sum(batcher.rows for batcher in self._batchers)
        if quiet <= self._patience and rows < BATCH_ROWS:
            asyncio.get_running_loop().call_soon(self._gather, self._count, quiet)
            return
        # Questions that arrive together are likely to be followed by others; one that arrives alone is not.
        self._patience = _PATIENCE if self._count > 1 else max(0, self._patience - 1)
        batchers, self._batchers, self._count = self._batchers, [], 0
        for batcher in batchers:
            batcher.compute()
