"""Charts of predicted numbers, and of the intervals around them."""

from dataclasses import dataclass
from typing import Final

import matplotlib.style
import numpy as np
from numpy.typing import NDArray

from athanor.pages import wording
from athanor.pages.drawing import OWN, REFERENCE, STYLE, to_svg
from athanor.training.card.charts import EXPECTED, OURS, THEIRS, draw_dots, open_axes, tick_shares

_BINS: Final = 10
_ERROR_BINS: Final = 40
_TAIL: Final = 0.01
"""Share of the largest errors, on each side, that the chart of errors shows in its last bins."""


@dataclass(frozen=True)
class Numbers:
    """What model and baseline predict, each float64 of shape (n,).

    Attributes:
        labels: what came true.
        lower, upper: of the model's intervals; None without intervals.
    """

    labels: NDArray[np.float64]
    ours: NDArray[np.float64]
    baseline: NDArray[np.float64]
    lower: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None


def bin_numbers(values: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Positions of the rows in up to ten bins of about equal counts, ascending. Equal values share a bin."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]))
    places = np.searchsorted(edges, values)
    return [np.flatnonzero(places == place) for place in np.unique(places)]


def draw_observed(numbers: Numbers) -> str:
    """Mean observed against mean predicted value, by bins of the prediction."""
    if not len(numbers.labels):
        return ""
    means = {
        name: [(float(values[rows].mean()), float(numbers.labels[rows].mean())) for rows in bin_numbers(values)]
        for name, values in (("baseline", numbers.baseline), ("ours", numbers.ours))
    }
    span = _span([value for points in means.values() for point in points for value in point])
    with matplotlib.style.context(STYLE):
        figure, axes = open_axes("mean predicted", "mean observed", left=72)
        axes.set(xlim=span, ylim=span)
        axes.plot(span, span, clip_on=False, **EXPECTED)
        for name, look in (("baseline", THEIRS), ("ours", OURS)):
            axes.plot(*zip(*means[name], strict=True), clip_on=False, **look)
            draw_dots(axes, means[name], look["color"])
        listed = "; ".join(f"predicted {x:.4g}, observed {y:.4g}" for x, y in means["ours"])
        return to_svg(figure, "Predicted and observed values, and those of the baseline, dashed", description=listed)


def draw_errors(numbers: Numbers) -> str:
    """The distribution of errors. The largest on each side are in the last bins."""
    errors = numbers.labels - numbers.ours, numbers.labels - numbers.baseline
    pooled = np.concatenate(errors)
    if not len(pooled) or not np.ptp(pooled):
        return ""
    low, high = np.quantile(pooled, [_TAIL, 1 - _TAIL])
    if low == high:  # Nearly all errors are equal.
        low, high = pooled.min(), pooled.max()
    edges = np.linspace(low, high, _ERROR_BINS + 1)
    ours, theirs = (np.histogram(np.clip(each, low, high), edges)[0] / len(each) for each in errors)
    with matplotlib.style.context(STYLE):
        figure, axes = open_axes("observed minus predicted", "share of rows", left=56)
        axes.set(xlim=(low, high), ylim=(0, 1.05 * max(ours.max(), theirs.max())))
        axes.stairs(ours, edges, fill=True, fc=OWN, alpha=0.6, lw=0)
        axes.stairs(theirs, edges, ec=REFERENCE, lw=1.6, ls=THEIRS["ls"])
        description = (
            f"The median error of the model is {np.median(errors[0]):.4g}, of the baseline {np.median(errors[1]):.4g}; "
            f"half of the model's errors are smaller than {np.median(np.abs(errors[0])):.4g}."
        )
        return to_svg(figure, "Errors of the model, and of the baseline, dashed", description=description)


def draw_coverage(numbers: Numbers, wanted: float) -> str:
    """Share of rows within their interval, by bins of the prediction.

    Args:
        wanted: the share that the intervals promise.
    """
    if numbers.lower is None or numbers.upper is None or not len(numbers.labels):
        return ""
    is_within = (numbers.lower <= numbers.labels) & (numbers.labels <= numbers.upper)
    points = [(float(numbers.ours[rows].mean()), float(is_within[rows].mean())) for rows in bin_numbers(numbers.ours)]
    with matplotlib.style.context(STYLE):
        figure, axes = open_axes("mean predicted", "share within the interval")
        span = _span([x for x, _ in points])
        axes.set(xlim=span, ylim=(0, 1))
        tick_shares(axes.set_yticks)
        axes.plot(span, (wanted, wanted), clip_on=False, **EXPECTED)
        axes.plot(*zip(*points, strict=True), clip_on=False, **OURS)
        draw_dots(axes, points, OWN)
        listed = "; ".join(f"predicted {x:.4g}, within {wording.share(y)}" for x, y in points)
        return to_svg(
            figure, "Coverage of the intervals", description=f"Wanted within {wording.share(wanted)}: {listed}."
        )


def _span(values: list[float]) -> tuple[float, float]:
    """A range a little wider than the values."""
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin
