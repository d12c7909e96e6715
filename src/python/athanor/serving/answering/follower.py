"""Follows the traffic file: what it names is loaded and proved beside what answers, then takes its place at once."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from athanor.errors import AthanorError
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.variants import LoadedTraffic, load_traffic

# After so long a failed change is tried again: a store may have been away for a moment.
_RETRY_S: Final = 5.0

_logger = logging.getLogger(__name__)


class Follower:
    """Keeps a core at what the traffic file says, in a thread of its own.

    Where the new cannot be loaded, or does not answer its reference rows as it should, the old stays and answers on.

    Attributes:
        failure: why the last change was not followed; None when it was.
    """

    def __init__(
        self,
        core: Core,
        store: ReleaseStore,
        require_signature: Path | None,
        poll_s: float,
        on_loaded: Callable[[LoadedTraffic, float], None],
        on_failed: Callable[[AthanorError], None],
    ) -> None:
        """Starts to follow.

        Args:
            on_loaded: told of each change that was followed, and the seconds that loading took.
            on_failed: told of each that was not; once for as long as it fails in the same way.
        """
        self.failure: AthanorError | None = None
        self._core = core
        self._store = store
        self._require_signature = require_signature
        self._poll_s = poll_s
        self._on_loaded = on_loaded
        self._on_failed = on_failed
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
                traffic = self._store.read_traffic(self._core.contract.name)
                if traffic == self._core.traffic.traffic:
                    if self.failure:
                        # Back at what answers: there is nothing to load, and the failure that was told is over.
                        self._on_loaded(self._core.traffic, 0.0)
                    self.failure = refused = None
                elif traffic != refused or time.monotonic() >= again_at:
                    refused, again_at = traffic, time.monotonic() + _RETRY_S
                    self._load(traffic)
                    self.failure = refused = None
            except AthanorError as error:
                self._fail(error)
            except Exception as error:
                # A bucket's library may raise anything. This thread must outlive it.
                _logger.exception("the traffic file cannot be followed")
                self._fail(AthanorError(f"the traffic file cannot be followed: {error}"))

    def _load(self, traffic: Traffic) -> None:
        started = time.monotonic()
        known = {variant.digest: variant.predictor for variant in self._core.traffic.variants}
        loaded = load_traffic(self._core.model, self._store, traffic, self._require_signature, known)
        self._core.traffic = loaded
        self._on_loaded(loaded, time.monotonic() - started)

    def _fail(self, error: AthanorError) -> None:
        is_new = self.failure is None or str(self.failure) != str(error)
        self.failure = error
        if is_new:
            try:
                self._on_failed(error)
            except Exception:
                # Such as a disk that is full, when the failure is written down.
                _logger.exception("a failure cannot be told: %s", error)
