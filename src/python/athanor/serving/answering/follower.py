"""Follows the traffic file of one model: loads and proves its releases while the old ones answer, then switches."""

import logging
import threading
import time
from typing import Final, Protocol

from athanor.errors import AthanorError
from athanor.release.traffic import Traffic, WithdrawnError
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from athanor.serving.answering.variants import LoadedTraffic

# Seconds until a failed change is retried: the store may have been unavailable for a moment.
_RETRY_S: Final = 5.0

_logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Learns what happens to the models of a service, on any thread."""

    def on_loaded(self, core: Core, seconds: float) -> None:
        """A change was loaded, which took so long; the first one too. Or a reported failure is over."""

    def on_failed(self, model: str, error: AthanorError, core: Core | None) -> None:
        """A change cannot be loaded, or a part of it; once while it fails for the same reason.

        Args:
            core: what answers; None if nothing does.
        """

    def on_left(self, core: Core) -> None:
        """A model answers no more: its champion was withdrawn."""


class Follower:
    """Keeps one model up to date with its traffic file.

    If a new champion cannot be loaded, or answers its reference rows differently, the old releases stay. Without a new
    one beside it the others answer.

    Attributes:
        core: None until something is loaded, and after the champion was withdrawn.
        failure: why the last change was not loaded, or not all of it; None if it was.
    """

    def __init__(self, loader: Loader, listener: Listener) -> None:
        """Loads nothing yet."""
        self.core: Core | None = None
        self.failure: AthanorError | None = None
        self._loader = loader
        self._listener = listener
        self._lock = threading.Lock()
        self._tried: Traffic | None = None
        self._again_at = 0.0

    def look(self, *, again: bool = False) -> None:
        """Reads the traffic file, and follows it. Raises nothing.

        Args:
            again: try at once what has failed before, instead of after some seconds.
        """
        with self._lock:
            try:
                if again:
                    self._again_at = 0.0
                self._look()
            except AthanorError as error:
                self._fail(error)
            except Exception as error:
                # A bucket's library may raise anything; other models are followed all the same.
                _logger.exception("cannot follow the traffic file of %s", self._loader.model)
                self._fail(AthanorError(f"cannot follow the traffic file: {error}"))

    def _look(self) -> None:
        traffic = self._loader.store.read_traffic(self._loader.model)
        loaded = self.core.traffic if self.core else None
        if loaded and traffic == loaded.traffic and loaded.failure is None:
            if self.failure and self.core:
                # The file is back at what answers: nothing to load, and the reported failure is over.
                self._listener.on_loaded(self.core, 0.0)
            self.failure = self._tried = None
        elif traffic != self._tried or (self.failure and time.monotonic() >= self._again_at):
            self._tried, self._again_at = traffic, time.monotonic() + _RETRY_S
            self._load(traffic, loaded)

    def _load(self, traffic: Traffic, before: LoadedTraffic | None) -> None:
        started = time.monotonic()
        try:
            loaded = self._loader.load(traffic, before)
        except WithdrawnError:
            self._leave()
            return
        if before is None or (loaded.traffic, loaded.variants) != (before.traffic, before.variants):
            self._switch(loaded, time.monotonic() - started)
        if loaded.failure:
            self._fail(loaded.failure)
        else:
            self.failure = self._tried = None

    def _switch(self, loaded: LoadedTraffic, seconds: float) -> None:
        core = self.core or Core(self._loader, loaded)
        core.traffic = loaded
        self._listener.on_loaded(core, seconds)
        # Not before: a model that cannot be taken up does not answer, and is tried again.
        self.core = core

    def _leave(self) -> None:
        """Keeps the file as tried: it is not read as a failure, and not tried again."""
        core, self.core, self.failure = self.core, None, None
        if core:
            self._listener.on_left(core)

    def _fail(self, error: AthanorError) -> None:
        is_new = self.failure is None or str(self.failure) != str(error)
        self.failure = error
        if is_new:
            try:
                self._listener.on_failed(self._loader.model, error, self.core)
            except Exception:
                # For example, a full disk prevents writing the status.
                _logger.exception("cannot report a failure: %s", error)
