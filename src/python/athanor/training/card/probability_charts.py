"""Charts of predicted probabilities: of a bool, or of each category against the rest, all in one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from athanor.pages import wording
from athanor.pages.drawing import FILLED, FONT_SIZE, MUTED, STYLE, WIDTH, to_svg
from athanor.training.card.charts import (
    BOTTOM,
    EXPECTED,
    HEIGHT,
    LEFT,
    OURS,
    RIGHT,
    THEIRS,
    draw_dots,
    open_shares,
    shorten_count,
    thin,
    tick_shares,
)

_STRIP: Final = 34
_BINS: Final = 10


@dataclass(frozen=True)
class Probabilities:
    """What model and baseline predict.

    Attributes:
        labels: 0 and 1, shape (n,).
        ours, baseline: probabilities of label 1, shape (n,).
    """

    labels: NDArray[np.int64]
    ours: NDArray[np.float64]
    baseline: NDArray[np.float64]

    @property
    def has_both_labels(self) -> bool:
        return len(np.unique(self.labels)) == 2


def draw_roc(answers: Probabilities) -> str:
    """True positive rate over false positive rate, at all thresholds."""
    if not answers.has_both_labels:
        return ""
    with matplotlib.style.context(STYLE):
        figure, axes = open_shares("false positive rate", "true positive rate")
        axes.plot([0, 1], [0, 1], clip_on=False, **EXPECTED)
        for given, look in ((answers.baseline, THEIRS), (answers.ours, OURS)):
            false_positives, true_positives, _ = roc_curve(answers.labels, given)
            axes.plot(*thin(false_positives, true_positives), clip_on=False, **look)
        ours, theirs = (roc_auc_score(answers.labels, given) for given in (answers.ours, answers.baseline))
        description = f"The area under the curve is {ours:.4f}, the baseline's {theirs:.4f}."
        return to_svg(figure, "ROC curves of the model and of the baseline, dashed", description=description)


def draw_precision_recall(answers: Probabilities) -> str:
    """Precision over recall, at all thresholds."""
    if not answers.has_both_labels:
        return ""
    with matplotlib.style.context(STYLE):
        figure, axes = open_shares("recall", "precision")
        axes.plot([0, 1], [answers.labels.mean()] * 2, clip_on=False, **EXPECTED)
        for given, look in ((answers.baseline, THEIRS), (answers.ours, OURS)):
            precision, recall, _ = precision_recall_curve(answers.labels, given)
            axes.plot(*thin(recall, precision), clip_on=False, **look)
        ours, theirs = (average_precision_score(answers.labels, given) for given in (answers.ours, answers.baseline))
        description = f"Average precision is {ours:.4f}, the baseline's {theirs:.4f}."
        return to_svg(
            figure, "Precision-recall curves of the model and of the baseline, dashed", description=description
        )


@dataclass(frozen=True)
class Bin:
    """Rows with similar probabilities: their number, mean probability and rate of the label."""

    rows: int
    predicted: float
    true: float


def bin_answers(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Mapping[int, Bin]:
    """Ten bins of equal width, by position, without empty ones. A probability of 1 is in the last."""
    positions = np.minimum((probabilities * _BINS).astype(np.int64), _BINS - 1)
    groups = {int(position): positions == position for position in np.unique(positions)}
    return {
        position: Bin(int(rows.sum()), float(probabilities[rows].mean()), float(labels[rows].mean()))
        for position, rows in groups.items()
    }


def draw_calibration(answers: Probabilities) -> str:
    """A reliability diagram, and below it the number of rows per bin."""
    if not answers.has_both_labels:
        return ""
    ours, theirs = (bin_answers(answers.labels, given) for given in (answers.ours, answers.baseline))
    with matplotlib.style.context(STYLE):
        figure, axes = open_shares("", "observed rate", bottom=BOTTOM + _STRIP + 20)
        axes.set_xticks(axes.get_xticks(), [])
        axes.plot([0, 1], [0, 1], clip_on=False, **EXPECTED)
        for bins, look in ((theirs, THEIRS), (ours, OURS)):
            axes.plot([b.predicted for b in bins.values()], [b.true for b in bins.values()], clip_on=False, **look)
            draw_dots(axes, [(b.predicted, b.true) for b in bins.values()], look["color"])
        _draw_counts(figure, {position: b.rows for position, b in ours.items()})
        bins_text = (
            f"{wording.plural(b.rows, 'row')} with mean probability {b.predicted:.3f}, observed {wording.share(b.true)}"
            for b in ours.values()
        )
        title = "Predicted probability and observed rate of the model, and of the baseline, dashed"
        return to_svg(figure, title, description=f"Bins: {'; '.join(bins_text)}.")


def _draw_counts(figure: Figure, counts: Mapping[int, int]) -> None:
    """Bars below the diagram, each with its count."""
    box = (LEFT / WIDTH, BOTTOM / HEIGHT, (WIDTH - LEFT - RIGHT) / WIDTH, _STRIP / HEIGHT)
    axes = figure.add_axes(box, frameon=False)
    axes.tick_params(length=0, pad=6, labelcolor=MUTED, labelsize=FONT_SIZE)
    axes.set(xlim=(0, 1), ylim=(0, max(counts.values())))
    tick_shares(axes.set_xticks)
    axes.set_yticks([])
    axes.set_xlabel("mean predicted probability, and rows", loc="right", color=MUTED, size=FONT_SIZE, labelpad=4)
    for position, count in counts.items():
        middle = (position + 0.5) / _BINS
        axes.bar(middle, count, width=0.8 / _BINS, clip_on=False, **FILLED)
        axes.annotate(
            shorten_count(count), (middle, count), (0, 2), textcoords="offset points", ha="center", color=MUTED, size=10
        )
