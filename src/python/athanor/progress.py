"""How long work tells how far it is, without knowing who watches."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias

Advance: TypeAlias = Callable[[str], None]
"""Called after each unit of work, with a few words on how it stands ("" for none)."""


class Progress(Protocol):
    """Somebody who watches."""

    def step(self, description: str, total: int = 1) -> AbstractContextManager[Advance]:
        """Opens a step of `total` units of work; leaving the context without an error completes it."""


class Unwatched:
    """Nobody watches."""

    @contextmanager
    def step(self, description: str, total: int = 1) -> Iterator[Advance]:
        yield lambda words: None
