"""How long-running work reports progress, whatever displays it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Reports work that is done."""

    def __call__(self, words: str, amount: int = 1) -> None:
        """Reports `amount` more units as done, with a few words on the state; "" for no words."""


class Progress(Protocol):
    """Displays progress."""

    def step(self, description: str, total: int = 1) -> AbstractContextManager[Advance]:
        """Opens a step of `total` units of work. Leaving the context without an error completes it."""


class Unwatched:
    """Displays nothing."""

    @contextmanager
    def step(self, description: str, total: int = 1) -> Iterator[Advance]:
        yield lambda words, amount=1: None
