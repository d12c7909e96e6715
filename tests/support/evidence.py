"""Answers of a model of the delays: one probability each."""

from typing import Any, Final

from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.tasks.task import Task
from athanor.tasks.tasks import task_of
from projects.delays.model import MODEL

TASK: Final[Task] = task_of(MODEL.contract)
_NAME: Final = MODEL.contract.prediction.name


def answer(probabilities: NDArray[Any]) -> Columns:
    """Answers with these probabilities."""
    return {_NAME: probabilities}


def read(answers: Columns) -> NDArray[Any]:
    """The probabilities of answers."""
    return answers[_NAME]
