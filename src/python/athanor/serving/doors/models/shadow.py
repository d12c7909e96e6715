"""The shadow release is asked what callers asked, after they are answered. Its answers are recorded, never sent."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np

from athanor.contract.columns import Columns, conform
from athanor.contract.validation import validate
from athanor.serving.answering.batching.capacity import Pool
from athanor.serving.answering.core import Core
from athanor.serving.answering.memory import measure_retained
from athanor.serving.answering.prepared import Answer, take
from athanor.serving.answering.variants import Variant
from athanor.serving.telemetry.observation import Observation

# Limits of all backlogs of a replica. One that counted answers only let 199 answers of 10,000 rows take 910 MB; they
# take 140 MB now.
_MOST_ROWS: Final = 200_000
_MOST_BYTES: Final = 64 * 1024 * 1024
# Rows of one run of the graph: more of them double the memory of the backlog, and save no time.
_RUN_ROWS: Final = 10_000
_PAUSE_S: Final = 0.25
# An answer and its observation beside their arrays, about.
_ANSWER_BYTES: Final = 1_000

_logger = logging.getLogger(__name__)


class ShadowRoom:
    """What the backlogs of a replica's shadows hold, shared fairly among its models.

    Attributes:
        lock: of all that it counts.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rows = Pool(_MOST_ROWS)
        self.bytes = Pool(_MOST_BYTES)

    def add_model(self, number: int) -> None:
        """Shares with so many models more, or fewer."""
        with self.lock:
            self.rows.models += number
            self.bytes.models += number


class _Entry(NamedTuple):
    """An answer in the backlog, and the bytes that it adds to what the backlog retains."""

    answer: Answer
    observation: Observation
    size_bytes: int


class Shadow:
    """Asks the shadow of a model, in a thread that starts with the first answer for it.

    It never delays a caller: beyond its limits the backlog drops answers.
    """

    def __init__(self, core: Core, on_dropped: Callable[[], None], room: ShadowRoom) -> None:
        """Args: on_dropped: called for each answer that the shadow is not asked about; on any thread."""
        self._core = core
        self._room = room
        self._on_dropped = on_dropped
        self._lock = room.lock
        self._backlog: deque[_Entry] = deque()
        self._last_batch: Columns | None = None
        # Of the backlog, and of what the thread is asking about.
        self._rows = self._bytes = 0
        self._arrived = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def backlog_rows(self) -> int:
        """Number of rows that wait, or that the shadow is being asked about."""
        return self._rows

    def ask(self, answer: Answer, observation: Observation) -> None:
        """Asks the shadow, if there is one, about what a caller was answered. Returns at once."""
        if self._core.traffic.shadow is None:
            return
        with self._lock:
            # An answer retains its whole batch, which it may share with the answer before it.
            shares = answer.batch is self._last_batch
            size_bytes = _ANSWER_BYTES + (0 if shares else self._measure(answer))
            has_room = self._room.rows.has_room(self._rows, answer.count) and self._room.bytes.has_room(
                self._bytes, size_bytes
            )
            # A single answer always has room.
            if has_room or not self._rows:
                self._hold(answer.count, size_bytes)
                self._last_batch = answer.batch
                self._backlog.append(_Entry(answer, observation, size_bytes))
                self._wake()
                return
        self._on_dropped()

    def _hold(self, rows: int, size_bytes: int) -> None:
        """Counts rows and bytes as held; negative numbers release them."""
        self._rows += rows
        self._bytes += size_bytes
        self._room.rows.held += rows
        self._room.bytes.held += size_bytes

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
            self._thread.start()
        self._arrived.set()

    def _measure(self, answer: Answer) -> int:
        """Bytes that the batch of an answer keeps alive: rows and answers."""
        rows = len(next(iter(answer.batch.values())))
        of_rows = measure_retained(self._core.interface.contract.columns, answer.batch, rows)
        return of_rows + measure_retained(answer.variant.contract.answer, answer.answers, rows)

    def close(self) -> None:
        """Asks about the rest of the backlog, and ends. A second call does nothing."""
        self._closing.set()
        self._arrived.set()
        if self._thread:
            self._thread.join()

    def _work(self) -> None:
        while True:
            self._arrived.wait()
            # Not at once: it would take the interpreter from the answer that is about to be sent.
            self._closing.wait(_PAUSE_S)
            self._arrived.clear()
            while entries := self._take():
                self._answer(entries)
                self._release(entries)
                del entries
            if self._closing.is_set() and not self._backlog:
                return

    def _take(self) -> list[_Entry]:
        """The oldest entries, as many as one run of the graph answers."""
        entries: list[_Entry] = []
        rows = 0
        with self._lock:
            while self._backlog and (not entries or rows + self._backlog[0].answer.count <= _RUN_ROWS):
                entries.append(self._backlog.popleft())
                rows += entries[-1].answer.count
            if not self._backlog:
                self._last_batch = None
        return entries

    def _release(self, entries: Sequence[_Entry]) -> None:
        with self._lock:
            self._hold(-sum(entry.answer.count for entry in entries), -sum(entry.size_bytes for entry in entries))

    def _answer(self, entries: Sequence[_Entry]) -> None:
        shadow = self._core.traffic.shadow
        if shadow is None:
            return
        failed = 0
        is_other = shadow.contract.fingerprint != self._core.interface.contract.fingerprint
        asked = [entry for entry in entries if not (is_other and _breaks_contract(shadow, entry.answer))]
        for _ in range(len(entries) - len(asked)):
            self._on_dropped()
        answers = _predict_apart(shadow, [entry.answer for entry in asked]) if asked else []
        for entry, answer in zip(asked, answers, strict=True):
            if answer is None or shadow.find_invalid(answer.answers):
                failed += 1
                self._on_dropped()
                continue
            try:
                entry.observation.shadowed(entry.answer, answer)
            except Exception:
                # One answer that cannot be recorded must not cost the others.
                _logger.exception("an answer of the shadow cannot be recorded")
        if failed:
            _logger.error(
                "the shadow %s failed to answer %d of %d requests, or answered outside of the contract",
                *(shadow.semantic_version, failed, len(asked)),
            )


def _breaks_contract(shadow: Variant, answer: Answer) -> bool:
    """Whether a row that callers may send is not allowed by the shadow's own contract."""
    return bool(validate(shadow.contract.columns, _columns_for(shadow, answer)))


def _columns_for(shadow: Variant, answer: Answer) -> Columns:
    return conform(answer.columns, shadow.contract.columns, answer.count)


def _predict_apart(shadow: Variant, answered: Sequence[Answer]) -> list[Answer | None]:
    """As `_predict`; None for each request on which the shadow fails, which it finds by halving."""
    try:
        return [*_predict(shadow, answered)]
    except Exception:
        if len(answered) == 1:
            _logger.debug("the shadow failed", exc_info=True)
            return [None]
    middle = len(answered) // 2
    return [*_predict_apart(shadow, answered[:middle]), *_predict_apart(shadow, answered[middle:])]


def _predict(shadow: Variant, answered: Sequence[Answer]) -> list[Answer]:
    """The shadow's answers to what others have answered, in one run of its graph."""
    answers = shadow.predictor.predict(_join([_columns_for(shadow, answer) for answer in answered]))
    ends = accumulate(answer.count for answer in answered)
    return [
        Answer(shadow, take(answers, slice(end - each.count, end)), each.batch, each.first, each.count)
        for end, each in zip(ends, answered, strict=True)
    ]


def _join(parts: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
