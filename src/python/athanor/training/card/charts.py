"""What the charts of a model card share: their size, their axes and the look of model and baseline.

The baseline is dashed as well as of another colour, so that the charts are readable without colours. Each chart is an
`<svg>` element with a text description for screen readers; "" if there is nothing to draw.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from athanor.pages import wording
from athanor.pages.drawing import FONT_SIZE, MUTED, OWN, REFERENCE, RULE, WIDTH, open_figure

# In pixels, as all lengths.
HEIGHT: Final = 334
LEFT: Final = 48
RIGHT: Final = 16
BOTTOM: Final = 40
_TOP: Final = 12
_DOT: Final = 7
_POINTS: Final = 200
OURS: Final[Mapping[str, Any]] = {"color": OWN, "lw": 2}
THEIRS: Final[Mapping[str, Any]] = {"color": REFERENCE, "lw": 1.6, "ls": (0, (3, 1.5))}
EXPECTED: Final[Mapping[str, Any]] = {"color": MUTED, "lw": 1.2, "ls": (0, (1, 2))}
"""What chance gives, or what is promised."""


def open_axes(across: str, up: str, bottom: int = BOTTOM, left: int = LEFT) -> tuple[Figure, Axes]:
    """Axes with a grid and the names of both directions."""
    figure, axes = open_figure(HEIGHT, left=left, right=RIGHT, top=_TOP + 16, bottom=bottom)
    axes.grid(color=RULE, linewidth=1, clip_on=False)
    axes.set_xlabel(across, loc="right", color=MUTED, size=FONT_SIZE, labelpad=4)
    # The power of ten that large ticks leave out.
    axes.xaxis.get_offset_text().set(x=0, ha="left")
    axes.set_title(up, loc="left", color=MUTED, size=FONT_SIZE, pad=8)
    return figure, axes


def open_shares(across: str, up: str, bottom: int = BOTTOM) -> tuple[Figure, Axes]:
    """Axes from 0 to 1 both ways."""
    figure, axes = open_axes(across, up, bottom)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    tick_shares(axes.set_xticks)
    tick_shares(axes.set_yticks)
    return figure, axes


def tick_shares(set_ticks: Any) -> None:
    """Ticks from 0 to 1."""
    places = (0, 0.25, 0.5, 0.75, 1)
    set_ticks(places, [f"{place:g}" for place in places])


def thin(across: NDArray[np.float64], up: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Up to 200 points of a curve, evenly spaced along its length."""
    along = np.r_[0, np.cumsum(np.abs(np.diff(across)) + np.abs(np.diff(up)))]
    chosen = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _POINTS)).clip(0, len(along) - 1))
    return across[chosen], up[chosen]


def draw_dots(axes: Axes, places: Iterable[tuple[float, float]], colour: str) -> None:
    """Draws dots as patches, because `to_svg` drops markers."""
    box = axes.get_position()
    width, height = np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())
    for place in places:
        size = (_DOT / WIDTH / box.width * width, _DOT / HEIGHT / box.height * height)
        axes.add_patch(Ellipse(place, *size, fc=colour, lw=0, clip_on=False))


def shorten_count(count: int) -> str:
    """No wider than a bin: 99,999, 120k, 3.4M."""
    if count < 100_000:
        return wording.count(count)
    return f"{count / 1e3:.0f}k" if count < 1_000_000 else f"{count / 1e6:.3g}M"
