"""The shadow is asked what the others were asked. Its answers are remembered and never sent."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from athanor.serving.core import Answer, Batch, Core
from athanor.serving.variants import Variant

if TYPE_CHECKING:
    from athanor.serving.telemetry import Observation

_MOST_WAITING: Final = 256

_logger = logging.getLogger(__name__)


class Shadow:
    """Asks the shadow in a thread of its own, after the caller was answered.

    It never makes a caller wait: where it cannot keep up it leaves answers out, and tells of each.
    """

    def __init__(self, core: Core, on_left_out: Callable[[], None]) -> None:
        self._core = core
        self._on_left_out = on_left_out
        self._waiting: deque[tuple[Answer, Observation]] = deque()
        self._arrived = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def ask(self, answer: Answer, observation: "Observation") -> None:
        """Asks the shadow, if there is one, about what was just answered. Returns at once."""
        if self._core.traffic.shadow is None:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._on_left_out()
            return
        self._waiting.append((answer, observation))
        self._arrived.set()

    def close(self) -> None:
        """Asks what still waits, and ends."""
        self._closing = True
        self._arrived.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            self._arrived.wait()
            self._arrived.clear()
            try:
                self._answer_waiting()
            except Exception:
                # Whatever it is, what comes next has nothing to do with it.
                _logger.exception("the shadow did not answer")
            if self._closing and not self._waiting:
                return
            if self._waiting:
                self._arrived.set()

    def _answer_waiting(self) -> None:
        """Asks what waits. What was computed together is asked together: it costs the others least."""
        asked: tuple[Batch, Variant] | None = None
        probabilities: NDArray[np.float64] = np.empty(0)
        while self._waiting:
            answer, observation = self._waiting.popleft()
            shadow = self._core.traffic.shadow
            if shadow is None:
                continue
            if asked is None or asked[0] is not answer.batch or asked[1] is not shadow:
                asked = answer.batch, shadow
                # All variants see the same features: a release with others does not belong to this binary.
                probabilities = shadow.predictor.answer(answer.batch.features)
            end = answer.first + answer.count
            observation.shadowed(
                shadow.semantic_version,
                shadow.digest,
                answer.batch.columns,
                answer.first,
                answer.count,
                probabilities[answer.first : end],
            )
