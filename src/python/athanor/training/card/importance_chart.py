"""The chart of the columns' importance."""

from collections.abc import Mapping
from typing import Final

import matplotlib.style

from athanor.pages import wording
from athanor.pages.drawing import FILLED, INK, STYLE, WIDTH, open_figure, to_svg
from athanor.system.printable import printable

IMPORTANT: Final = 15
"""Number of columns drawn."""
_ROW: Final = 22
_LABEL_LENGTH: Final = 24


def draw_importance(importance: Mapping[str, float], metric: str) -> str:
    """Permutation importance of the first fifteen columns given."""
    shown = list(importance.items())[:IMPORTANT]
    if not shown:
        return ""
    names = [wording.shorten(printable(name), _LABEL_LENGTH) for name, _ in shown]
    labels = {f"label {i}": name for i, name in enumerate(names)}
    losses = [_signed(loss) for _, loss in shown]
    left, right = (14 + 7 * max(map(len, texts)) for texts in (names, losses))
    longest = max(1e-9, *(loss for _, loss in shown))
    with matplotlib.style.context(STYLE):
        figure, axes = open_figure(_ROW * len(shown) + 4, left=left, right=right, top=2, bottom=2)
        unit = longest / (WIDTH - left - right)
        axes.set(xlim=(0, longest), ylim=(len(shown) - 0.5, -0.5))
        axes.set_axis_off()
        for place, (placeholder, (_, loss)) in enumerate(zip(labels, shown, strict=True)):
            axes.text(-8 * unit, place, placeholder, ha="right", va="center_baseline", color=INK)
            axes.text(longest + (right - 6) * unit, place, losses[place], ha="right", va="center_baseline", color=INK)
            axes.barh(place, max(loss, 0.0), height=0.62, clip_on=False, **FILLED)
        description = ", ".join(f"{name} {loss}" for name, loss in zip(names, losses, strict=True))
        return to_svg(figure, f"Loss of {metric} when a column is shuffled", labels, f"{description}.")


def _signed(loss: float) -> str:
    return f"{loss:.4f}".replace("-", "\N{MINUS SIGN}")
