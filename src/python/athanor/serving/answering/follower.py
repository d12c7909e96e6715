"""Follows the traffic file: loads and proves its releases while the old ones answer, then switches at once."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from athanor.errors import AthanorError
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Traffic
from athanor.release.trust import Trust
from athanor.serving.answering.core import Core
from athanor.serving.answering.variants import LoadedTraffic, load_traffic

# Seconds until a failed change is retried: the store may have been unavailable for a moment.
_RETRY_S: Final = 5.0

_logger = logging.getLogger(__name__)


class Follower:
    """Keeps a core up to date with the traffic file, in a thread of its own.

    If a new release cannot be loaded, or answers its reference rows differently, the old ones stay.

    Attributes:
        failure: why the last change was not loaded; None if it was.
    """

    def __init__(
        self,
        core: Core,
        store: ReleaseStore,
        trust: Trust | None,
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
        self.failure: AthanorError | None = None
        self._core = core
        self._store = store
        self._trust = trust
        self._poll_s = poll_s
        self._on_loaded = on_loaded
        self._on_failed = on_failed
        self._on_poll = on_poll
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="traffic", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _follow(self) -> None:
        refused: Traffic | None = None
        again_at = 0.0
        while not self._closing.wait(self._poll_s):
            try:
                self._on_poll()
                traffic = self._store.read_traffic(self._core.contract.name)
                if traffic == self._core.traffic.traffic:
                    if self.failure:
                        # The file is back at what answers: nothing to load, and the reported failure is over.
                        self._on_loaded(self._core.traffic, 0.0)
                    self.failure = refused = None
                elif traffic != refused or time.monotonic() >= again_at:
                    refused, again_at = traffic, time.monotonic() + _RETRY_S
                    self._load(traffic)
                    self.failure = refused = None
            except AthanorError as error:
                self._fail(error)
            except Exception as error:
                # A bucket's library may raise anything; this thread must survive it.
                _logger.exception("cannot follow the traffic file")
                self._fail(AthanorError(f"cannot follow the traffic file: {error}"))

    def _load(self, traffic: Traffic) -> None:
        started = time.monotonic()
        known = {variant.digest: variant.predictor for variant in self._core.traffic.variants}
        loaded = load_traffic(self._core.contract, self._store, traffic, self._trust, known)
        self._core.traffic = loaded
        self._on_loaded(loaded, time.monotonic() - started)

    def _fail(self, error: AthanorError) -> None:
        is_new = self.failure is None or str(self.failure) != str(error)
        self.failure = error
        if is_new:
            try:
                self._on_failed(error)
            except Exception:
                # For example, a full disk prevents writing the status.
                _logger.exception("cannot report a failure: %s", error)
