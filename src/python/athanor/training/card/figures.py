"""The figures of a model card: which charts a model has follows from what its task answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns, Role
from athanor.pages import wording
from athanor.tasks.task import Task
from athanor.training.card.category_charts import draw_confusion
from athanor.training.card.importance_chart import IMPORTANT, draw_importance
from athanor.training.card.number_charts import Numbers, draw_coverage, draw_errors, draw_observed
from athanor.training.card.probability_charts import (
    Probabilities,
    draw_calibration,
    draw_precision_recall,
    draw_roc,
)


@dataclass(frozen=True)
class Predicted:
    """What came true for the n held-out rows, and what model and baseline answer.

    Attributes:
        labels: encoded by the task, shape (n,).
        answers, baseline: columns of the answer.
        importance: loss of the task's first metric when a column is shuffled, by column, descending.
    """

    task: Task
    labels: NDArray[np.int64] | NDArray[np.float64]
    answers: Columns
    baseline: Columns
    importance: Mapping[str, float]


@dataclass(frozen=True)
class Figure:
    """A chart, "" if there is nothing to draw, and its caption."""

    title: str
    chart: str
    text: str


def list_figures(predicted: Predicted, coverage: float | None) -> Iterator[Figure]:
    """The figures of a card, in order.

    Args:
        coverage: that the intervals promise; None without intervals.
    """
    task = predicted.task
    ours, baseline = (task.one_vs_rest(predicted.labels, each) for each in (predicted.answers, predicted.baseline))
    if ours is not None and baseline is not None:
        yield from _of_probabilities(Probabilities(ours[0], ours[1], baseline[1]), len(task.contract.label.categories))
    else:
        yield from _of_numbers(predicted, coverage)
    if categories := task.contract.label.categories:
        position = {category: at for at, category in enumerate(categories)}
        answered = [position[category] for category in predicted.answers[task.contract.prediction.name]]
        yield Figure(
            "Confusion",
            draw_confusion(predicted.labels.astype(np.int64), np.array(answered, np.int64), categories),
            "Share of the rows of each actual category that are predicted as each; on the diagonal they are right.",
        )
    yield Figure(
        "Importance of columns",
        draw_importance(predicted.importance, _first_metric(task)),
        _describe_importance(predicted),
    )


def _of_probabilities(probabilities: Probabilities, categories: int) -> Iterator[Figure]:
    pooled = f" Each of the {categories} categories against the rest, all in one curve." if categories else ""
    yield Figure(
        "ROC curve",
        draw_roc(probabilities),
        f"Share of positive rows found, against the share of negative rows wrongly flagged.{pooled}",
    )
    yield Figure(
        "Precision and recall",
        draw_precision_recall(probabilities),
        f"Share of flagged rows that are positive, against the share of positive rows found.{pooled}",
    )
    yield Figure(
        "Calibration",
        draw_calibration(probabilities),
        "Observed rate against predicted probability; on the dotted line they agree. Bins with few rows are noisy.",
    )


def _of_numbers(predicted: Predicted, coverage: float | None) -> Iterator[Figure]:
    contract = predicted.task.contract
    ends = {
        role: predicted.answers[column.name]
        for column in contract.answer
        for role in column.roles & {Role.LOWER, Role.UPPER}
    }
    numbers = Numbers(
        predicted.labels.astype(np.float64),
        predicted.answers[contract.prediction.name],
        predicted.baseline[contract.prediction.name],
        ends.get(Role.LOWER),
        ends.get(Role.UPPER),
    )
    yield Figure(
        "Predicted and observed",
        draw_observed(numbers),
        "Means of ten bins of equal counts; on the dotted line they agree.",
    )
    yield Figure(
        "Errors",
        draw_errors(numbers),
        "Observed minus predicted value. The last bins hold the largest hundredth on each side, too.",
    )
    if coverage is not None:
        yield Figure(
            "Coverage of the intervals",
            draw_coverage(numbers, coverage),
            "Share of rows whose outcome lies within the interval, by predicted value; dotted: what is promised.",
        )


def _first_metric(task: Task) -> str:
    return next(iter(task.metrics))


def _describe_importance(predicted: Predicted) -> str:
    rest = list(predicted.importance.values())[IMPORTANT:]
    metric = _first_metric(predicted.task)
    caption = f"Loss of {metric} when a column is shuffled among rows. Correlated columns share it."
    if not rest:
        return caption
    return f"{caption} {wording.plural(len(rest), 'other')} lose at most {max(rest):.4f}."
