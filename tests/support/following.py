"""Waiting for what a follower of the traffic file does, without guessing how long it takes."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from athanor.errors import AthanorError
from athanor.release.signing.trust import Trust
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from athanor.serving.answering.repository import Repository
from athanor.serving.answering.variants import LoadedTraffic
from projects.delays.model import MODEL

_PATIENCE_S: Final = 60.0


class Listener:
    """What a follower reports, in order; a test waits for the next of it."""

    def __init__(self) -> None:
        self.cores: dict[str, Core] = {}
        self.loaded: list[LoadedTraffic] = []
        self.failed: list[AthanorError] = []
        self.left: list[str] = []
        self._changed = threading.Condition()

    def on_loaded(self, core: Core, seconds: float) -> None:
        assert seconds >= 0
        self.cores[core.model] = core
        self._add(self.loaded, core.traffic)

    def on_failed(self, model: str, error: AthanorError, core: Core | None) -> None:
        self._add(self.failed, error)

    def on_left(self, core: Core) -> None:
        self._add(self.left, core.model)

    def clear(self) -> None:
        """Forgets what was reported."""
        self.loaded, self.failed, self.left = [], [], []

    def wait(self, loaded: int = 0, failed: int = 0, left: int = 0) -> None:
        """Until so many are reported."""
        with self._changed:
            is_so = self._changed.wait_for(
                lambda: len(self.loaded) >= loaded and len(self.failed) >= failed and len(self.left) >= left,
                timeout=_PATIENCE_S,
            )
        assert is_so, (self.loaded, self.failed, self.left)

    def _add(self, told: list[Any], what: Any) -> None:
        with self._changed:
            told.append(what)
            self._changed.notify_all()


class CountingStore(ReleaseStore):
    """Lets a test wait until the traffic file was looked at once more, and fail then."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.error: BaseException | None = None
        self._looks = 0
        self._changed = threading.Condition()

    def read_traffic(self, model: str) -> Traffic:
        with self._changed:
            self._looks += 1
            self._changed.notify_all()
        if self.error:
            raise self.error
        return super().read_traffic(model)

    def wait_for_looks(self, count: int = 3) -> None:
        """Until what was there before this call has been seen, and dealt with."""
        with self._changed:
            wanted = self._looks + count
            assert self._changed.wait_for(lambda: self._looks >= wanted, timeout=_PATIENCE_S)


@contextmanager
def following_repository(
    store: ReleaseStore, listener: Listener, patterns: Sequence[str] = (MODEL.name,), trust: Trust | None = None
) -> Iterator[Repository]:
    """Follows the models of a store, faster than a service does."""

    def make_loader(model: str) -> Loader:
        return Loader(model, store, 10_000, trust)

    repository = Repository(store, patterns, make_loader, listener)
    repository.follow(0.005)
    try:
        yield repository
    finally:
        repository.close()
