"""Charts of a model's quality, each an `<svg>` element; "" if there is nothing to draw.

The baseline is dashed as well as of another colour, so that the charts are readable without colours. Each chart has a
text description for screen readers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from athanor.pages import wording
from athanor.pages.drawing import (
    FILLED,
    FONT_SIZE,
    INK,
    MUTED,
    OWN,
    REFERENCE,
    RULE,
    STYLE,
    WIDTH,
    open_figure,
    to_svg,
)
from athanor.system.printable import printable

IMPORTANT: Final = 15
"""Number of features drawn."""
# In pixels, as all lengths.
_HEIGHT: Final = 334
_LEFT: Final = 48
_RIGHT: Final = 16
_TOP: Final = 12
_BOTTOM: Final = 40
_STRIP: Final = 34
_DOT: Final = 7
_ROW: Final = 22
_LABEL_LENGTH: Final = 24
_POINTS: Final = 200
_BINS: Final = 10
_OURS: Final[Mapping[str, Any]] = {"color": OWN, "lw": 2}
_THEIRS: Final[Mapping[str, Any]] = {"color": REFERENCE, "lw": 1.6, "ls": (0, (3, 1.5))}
_CHANCE: Final[Mapping[str, Any]] = {"color": MUTED, "lw": 1.2, "ls": (0, (1, 2))}


@dataclass(frozen=True)
class Answers:
    """Predictions of the model and the baseline for n rows.

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


def draw_roc(answers: Answers) -> str:
    """True positive rate over false positive rate, at all thresholds."""
    if not answers.has_both_labels:
        return ""
    with matplotlib.style.context(STYLE):
        figure, axes = _open("false positive rate", "true positive rate")
        axes.plot([0, 1], [0, 1], clip_on=False, **_CHANCE)
        for given, look in ((answers.baseline, _THEIRS), (answers.ours, _OURS)):
            false_positives, true_positives, _ = roc_curve(answers.labels, given)
            axes.plot(*_thin(false_positives, true_positives), clip_on=False, **look)
        ours, theirs = (roc_auc_score(answers.labels, given) for given in (answers.ours, answers.baseline))
        description = f"The area under the curve is {ours:.4f}, the baseline's {theirs:.4f}."
        return to_svg(figure, "ROC curves of the model and of the baseline, dashed", description=description)


def draw_precision_recall(answers: Answers) -> str:
    """Precision over recall, at all thresholds."""
    if not answers.has_both_labels:
        return ""
    with matplotlib.style.context(STYLE):
        figure, axes = _open("recall", "precision")
        axes.plot([0, 1], [answers.labels.mean()] * 2, clip_on=False, **_CHANCE)
        for given, look in ((answers.baseline, _THEIRS), (answers.ours, _OURS)):
            precision, recall, _ = precision_recall_curve(answers.labels, given)
            axes.plot(*_thin(recall, precision), clip_on=False, **look)
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


def draw_calibration(answers: Answers) -> str:
    """A reliability diagram, and below it the number of rows per bin."""
    if not answers.has_both_labels:
        return ""
    ours, theirs = (bin_answers(answers.labels, given) for given in (answers.ours, answers.baseline))
    with matplotlib.style.context(STYLE):
        figure, axes = _open("", "observed rate", bottom=_BOTTOM + _STRIP + 20)
        axes.set_xticks(axes.get_xticks(), [])
        axes.plot([0, 1], [0, 1], clip_on=False, **_CHANCE)
        for bins, look in ((theirs, _THEIRS), (ours, _OURS)):
            axes.plot([b.predicted for b in bins.values()], [b.true for b in bins.values()], clip_on=False, **look)
            _draw_dots(axes, bins.values(), look["color"])
        _draw_counts(figure, {position: b.rows for position, b in ours.items()})
        bins_text = (
            f"{wording.plural(b.rows, 'row')} with mean probability {b.predicted:.3f}, observed {wording.share(b.true)}"
            for b in ours.values()
        )
        title = "Predicted probability and observed rate of the model, and of the baseline, dashed"
        return to_svg(figure, title, description=f"Bins: {'; '.join(bins_text)}.")


def _draw_dots(axes: Axes, bins: Any, colour: str) -> None:
    """Draws dots as patches, because `to_svg` drops markers."""
    box = axes.get_position()
    for each in bins:
        place = (each.predicted, each.true)
        axes.add_patch(
            Ellipse(place, _DOT / WIDTH / box.width, _DOT / _HEIGHT / box.height, fc=colour, lw=0, clip_on=False)
        )


def _draw_counts(figure: Figure, counts: Mapping[int, int]) -> None:
    """Bars below the diagram, each with its count."""
    box = (_LEFT / WIDTH, _BOTTOM / _HEIGHT, (WIDTH - _LEFT - _RIGHT) / WIDTH, _STRIP / _HEIGHT)
    axes = figure.add_axes(box, frameon=False)
    axes.tick_params(length=0, pad=6, labelcolor=MUTED, labelsize=FONT_SIZE)
    axes.set(xlim=(0, 1), ylim=(0, max(counts.values())))
    _tick(axes.set_xticks)
    axes.set_yticks([])
    axes.set_xlabel("mean predicted probability, and rows", loc="right", color=MUTED, size=FONT_SIZE, labelpad=4)
    for position, count in counts.items():
        middle = (position + 0.5) / _BINS
        axes.bar(middle, count, width=0.8 / _BINS, clip_on=False, **FILLED)
        axes.annotate(
            _shorten(count), (middle, count), (0, 2), textcoords="offset points", ha="center", color=MUTED, size=10
        )


def _shorten(count: int) -> str:
    """No wider than a bin: 99,999, 120k, 3.4M."""
    if count < 100_000:
        return wording.count(count)
    return f"{count / 1e3:.0f}k" if count < 1_000_000 else f"{count / 1e6:.3g}M"


def draw_importance(importance: Mapping[str, float]) -> str:
    """Permutation importance of the first fifteen columns given."""
    shown = list(importance.items())[:IMPORTANT]
    if not shown:
        return ""
    names = [wording.shorten(printable(name), _LABEL_LENGTH) for name, _ in shown]
    labels = {f"label {i}": name for i, name in enumerate(names)}
    left, right = 14 + 7 * max(map(len, names)), 64
    longest = max(1e-9, *(loss for _, loss in shown))
    with matplotlib.style.context(STYLE):
        figure, axes = open_figure(_ROW * len(shown) + 4, left=left, right=right, top=2, bottom=2)
        unit = longest / (WIDTH - left - right)
        axes.set(xlim=(0, longest), ylim=(len(shown) - 0.5, -0.5))
        axes.set_axis_off()
        for place, (placeholder, (_, loss)) in enumerate(zip(labels, shown, strict=True)):
            axes.text(-8 * unit, place, placeholder, ha="right", va="center_baseline", color=INK)
            axes.text(longest + 58 * unit, place, _signed(loss), ha="right", va="center_baseline", color=INK)
            axes.barh(place, max(loss, 0.0), height=0.62, clip_on=False, **FILLED)
        description = ", ".join(f"{name} {_signed(loss)}" for name, (_, loss) in zip(names, shown, strict=True))
        return to_svg(figure, "Loss of average precision when a feature is shuffled", labels, f"{description}.")


def _signed(loss: float) -> str:
    return f"{loss:.4f}".replace("-", "\N{MINUS SIGN}")


def _open(across: str, up: str, bottom: int = _BOTTOM) -> tuple[Figure, Axes]:
    """Axes from 0 to 1 both ways."""
    figure, axes = open_figure(_HEIGHT, left=_LEFT, right=_RIGHT, top=_TOP + 16, bottom=bottom)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    _tick(axes.set_xticks)
    _tick(axes.set_yticks)
    axes.grid(color=RULE, linewidth=1, clip_on=False)
    axes.set_xlabel(across, loc="right", color=MUTED, size=FONT_SIZE, labelpad=4)
    axes.set_title(up, loc="left", color=MUTED, size=FONT_SIZE, pad=8)
    return figure, axes


def _tick(set_ticks: Any) -> None:
    places = (0, 0.25, 0.5, 0.75, 1)
    set_ticks(places, [f"{place:g}" for place in places])


def _thin(across: NDArray[np.float64], up: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Up to 200 points of a curve, evenly spaced along its length."""
    along = np.r_[0, np.cumsum(np.abs(np.diff(across)) + np.abs(np.diff(up)))]
    chosen = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _POINTS)).clip(0, len(along) - 1))
    return across[chosen], up[chosen]
