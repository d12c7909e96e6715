"""The shadow is asked what the others were asked. Its answers are remembered and never sent."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from athanor.features.features import FeatureArrays
from athanor.serving.answering.core import Answer, Core

if TYPE_CHECKING:
    from athanor.serving.telemetry.telemetry import Observation

_MOST_WAITING: Final = 4_096
_REST_S: Final = 0.25

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
        self._closing = threading.Event()
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
        self._closing.set()
        self._arrived.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            self._arrived.wait()
            # Not at once: it would take the interpreter from the answer that is about to be sent.
            self._closing.wait(_REST_S)
            self._arrived.clear()
            try:
                self._answer_waiting()
            except Exception:
                # What comes next has nothing to do with it.
                _logger.exception("the shadow did not answer")
            if self._closing.is_set() and not self._waiting:
                return
            if self._waiting:
                self._arrived.set()

    def _answer_waiting(self) -> None:
        """Asks about all that waits at once: it costs the others least."""
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        shadow = self._core.traffic.shadow
        if shadow is None or not waiting:
            return
        # All variants see the same features: a release with others does not belong to this binary.
        features = _join([answer.features for answer, _ in waiting])
        probabilities = shadow.predictor.answer(features)
        start = 0
        for answer, observation in waiting:
            rows = slice(start, start + answer.count)
            start += answer.count
            try:
                observation.shadowed(
                    shadow.semantic_version,
                    shadow.digest,
                    answer.batch.columns,
                    answer.first,
                    answer.count,
                    probabilities[rows],
                )
            except Exception:
                # What cannot be kept of one answer has nothing to do with the others.
                _logger.exception("an answer of the shadow is lost")


def _join(features: Sequence[FeatureArrays]) -> FeatureArrays:
    return FeatureArrays(
        np.concatenate([each.numeric for each in features]), np.concatenate([each.categorical for each in features])
    )
