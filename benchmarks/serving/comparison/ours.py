"""Our core without any server: the one place of this benchmark that knows how it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.release.store import ReleaseStore
from athanor.serving.answering.core import Core
from athanor.serving.answering.interface import Question
from athanor.serving.answering.loading import Loader
from athanor.serving.formats import typed
from athanor.serving.formats.tensors import locate

_MAX_ROWS = 10_000
_REQUEST_ID = "0" * 32


@dataclass(frozen=True)
class CoreAlone:
    """Our core, ready.

    Attributes:
        answer_message: a serialised request of the typed door to the serialised response.
        answer_columns: contract columns of equal length to probabilities: what raw tensors cost beyond their copying.
    """

    answer_message: Callable[[bytes], bytes]
    answer_columns: Callable[[Columns], NDArray[Any]]


def make_core(contract: Contract, store: Path) -> CoreAlone:
    """Loads whatever takes traffic in a release store."""
    core = Core(Loader(contract.name, ReleaseStore(store), _MAX_ROWS))

    def answer_message(content: bytes) -> bytes:
        answer = core.answer(typed.to_question(core.interface, typed.parse(core.interface, content)))
        return typed.to_response(core.interface, answer, _REQUEST_ID).SerializeToString()

    def answer_columns(columns: Columns) -> NDArray[Any]:
        count = len(next(iter(columns.values())))
        answer = core.answer(Question(core.interface.contract, count, locate, columns=columns))
        return answer.answers[contract.prediction.name]

    return CoreAlone(answer_message, answer_columns)
