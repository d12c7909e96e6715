"""Turns of the event loop: the work on a large request runs a little at a time, and others are served in between."""

import asyncio
import time
from typing import Final

from athanor.errors import DeadlineExceededError
from athanor.serving.formats.json_body import Read, Turns

# How long the work on one request keeps all others waiting, about.
_TURN_S: Final = 0.003


class TurnTaker:
    """Runs work in turns: one large request a turn, however many there are."""

    def __init__(self) -> None:
        self._queue = asyncio.Lock()

    async def run(self, work: Turns[Read], deadline: float) -> Read:
        """The result of work. What takes less than a turn is done at once.

        Args:
            deadline: until when the result is of use, by `time.monotonic`.

        Raises:
            DeadlineExceededError: the deadline passed first.
        """
        end = time.monotonic() + _TURN_S
        try:
            while True:
                next(work)
                now = time.monotonic()
                if now < end:
                    continue
                if now >= deadline:
                    raise DeadlineExceededError("the deadline passed while the request was read or its answer written")
                async with self._queue:
                    await asyncio.sleep(0)
                end = time.monotonic() + _TURN_S
        except StopIteration as done:
            result: Read = done.value
            return result
