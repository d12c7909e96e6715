"""Waiting for what a follower of the traffic file does, without guessing how long it takes."""

import threading
from typing import Any, Final

from athanor.errors import AthanorError
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Traffic
from athanor.serving.answering.variants import LoadedTraffic

_PATIENCE_S: Final = 60.0


class Listener:
    """What a follower tells, in order; a test waits for the next of it."""

    def __init__(self) -> None:
        self.loaded: list[LoadedTraffic] = []
        self.failed: list[AthanorError] = []
        self._changed = threading.Condition()

    def on_loaded(self, loaded: LoadedTraffic, seconds: float) -> None:
        assert seconds >= 0
        self._add(self.loaded, loaded)

    def on_failed(self, error: AthanorError) -> None:
        self._add(self.failed, error)

    def wait(self, loaded: int = 0, failed: int = 0) -> None:
        """Until so many are told."""
        with self._changed:
            is_so = self._changed.wait_for(
                lambda: len(self.loaded) >= loaded and len(self.failed) >= failed, timeout=_PATIENCE_S
            )
        assert is_so, (self.loaded, self.failed)

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
