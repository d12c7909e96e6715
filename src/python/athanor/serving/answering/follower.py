"""Follows the traffic file: loads and proves its releases while the old ones answer, then switches at once."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from athanor.errors import AthanorError
from athanor.release.traffic import Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from athanor.serving.answering.variants import LoadedTraffic

# Seconds until a failed change is retried: the store may have been unavailable for a moment.
_RETRY_S: Final = 5.0

_logger = logging.getLogger(__name__)


class Follower:
    """Keeps a core up to date with the traffic file, in a thread of its own.

    If a new champion cannot be loaded, or answers its reference rows differently, the old releases stay. Without a new
    one beside it the others answer.

    Attributes:
        failure: why the last change was not loaded, or not all of it; None if it was.
    """

    def __init__(
        self,
        core: Core,
        loader: Loader,
        poll_s: float,
        on_loaded: Callable[[LoadedTraffic, float], None],
        on_failed: Callable[[AthanorError], None],
        on_poll: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts to follow.

        Args:
            on_loaded: called for each loaded change, with the seconds that loading took.
            on_failed: called for each change that fails to load; once while it fails for the same reason.
            on_poll: called before each read of the traffic file.
        """
        self.failure = core.traffic.failure
        self._core = core
        self._loader = loader
        self._poll_s = poll_s
        self._on_loaded = on_loaded
        self._on_failed = on_failed
        self._on_poll = on_poll
        self._tried: Traffic | None = core.traffic.traffic if self.failure else None
        self._again_at = time.monotonic() + _RETRY_S
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="traffic", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._closing.wait(self._poll_s):
            try:
                self._on_poll()
                self._look()
            except AthanorError as error:
                self._fail(error)
            except Exception as error:
                # A bucket's library may raise anything; this thread must survive it.
                _logger.exception("cannot follow the traffic file")
                self._fail(AthanorError(f"cannot follow the traffic file: {error}"))

    def _look(self) -> None:
        traffic, loaded = self._loader.store.read_traffic(self._loader.model), self._core.traffic
        if traffic == loaded.traffic and loaded.failure is None:
            if self.failure:
                # The file is back at what answers: nothing to load, and the reported failure is over.
                self._on_loaded(loaded, 0.0)
            self.failure = self._tried = None
        elif traffic != self._tried or time.monotonic() >= self._again_at:
            self._tried, self._again_at = traffic, time.monotonic() + _RETRY_S
            self._load(traffic)

    def _load(self, traffic: Traffic) -> None:
        started, before = time.monotonic(), self._core.traffic
        loaded = self._loader.load(traffic, before)
        if (loaded.traffic, loaded.variants) != (before.traffic, before.variants):
            self._core.traffic = loaded
            self._on_loaded(loaded, time.monotonic() - started)
        if loaded.failure:
            self._fail(loaded.failure)
        else:
            self.failure = self._tried = None

    def _fail(self, error: AthanorError) -> None:
        is_new = self.failure is None or str(self.failure) != str(error)
        self.failure = error
        if is_new:
            try:
                self._on_failed(error)
            except Exception:
                # For example, a full disk prevents writing the status.
                _logger.exception("cannot report a failure: %s", error)
