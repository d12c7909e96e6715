"""How long work tells how far it is, without knowing who watches."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Called after some work."""

    def __call__(self, words: str, amount: int = 1) -> None:
        """Tells that `amount` units more are done, and in a few words how it stands ("" for none)."""


class Progress(Protocol):
    """Somebody who watches."""

    def step(self, description: str, total: int = 1) -> AbstractContextManager[Advance]:
        """Opens a step of `total` units of work; leaving the context without an error completes it."""


class Unwatched:
    """Nobody watches."""

    @contextmanager
    def step(self, description: str, total: int = 1) -> Iterator[Advance]:
        yield lambda words, amount=1: None
