"""Charts of predicted categories."""

from collections.abc import Sequence
from typing import Final

import matplotlib.style
import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from athanor.pages import wording
from athanor.pages.drawing import FONT_SIZE, INK, MUTED, OWN, STYLE, WIDTH, open_figure, to_svg
from athanor.system.printable import printable

_MOST: Final = 12
"""Categories drawn: with more, no number fits into its cell."""
_CELL: Final = 34
_NAME_LENGTH: Final = 14


def draw_confusion(actual: NDArray[np.int64], predicted: NDArray[np.int64], categories: Sequence[str]) -> str:
    """Rows by actual category, downwards, and predicted category, across: the share of each row of cells.

    Args:
        actual, predicted: positions in `categories`, shape (n,).

    Returns:
        "" with more than 12 categories, or without rows.
    """
    if len(categories) > _MOST or not len(actual):
        return ""
    counts = count_pairs(actual, predicted, len(categories))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [wording.shorten(printable(name), _NAME_LENGTH) for name in categories]
    left, top = 14 + 7 * max(map(len, names)), 30
    with matplotlib.style.context(STYLE):
        figure, axes = open_figure(_CELL * len(names) + top + 40, left=left, right=16, top=top, bottom=40)
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
        axes.set_title("actual", loc="left", color=MUTED, size=FONT_SIZE, pad=8)
        axes.set_xlabel("predicted, in the same order", loc="right", color=MUTED, size=FONT_SIZE, labelpad=4)
        axes.set_xticks([])
        axes.set_yticks(range(len(names)), [f"label {at}" for at in range(len(names))])
        for (row, column), share in np.ndenumerate(shares):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fc=OWN, alpha=0.75 * share, lw=0))
            axes.text(column, row, f"{share:.2f}", ha="center", va="center_baseline", color=INK, size=_size(len(names)))
        labels = {f"label {at}": name for at, name in enumerate(names)}
        described = (f"of {name} {wording.share(shares[at, at])} are found" for at, name in enumerate(names))
        return to_svg(figure, "Share of each category that is predicted as each", labels, f"{'; '.join(described)}.")


def count_pairs(actual: NDArray[np.int64], predicted: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Number of rows by actual (first axis) and predicted position, shape (count, count)."""
    return np.bincount(actual * count + predicted, minlength=count * count).reshape(count, count)


def _size(count: int) -> float:
    """Of a number that fits into a cell."""
    return min(FONT_SIZE, (WIDTH - 120) / count / 2.2)
