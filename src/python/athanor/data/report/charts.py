"""Small charts of columns, each an `<svg>` element to embed in an HTML page.

The reference is dashed as well as of another colour, so that the charts are readable without colours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from athanor.contract.columns import Column, Kind
from athanor.data.profiles.profile import ColumnProfile, NumberProfile, TextProfile, TimeProfile
from athanor.data.report import histogram
from athanor.pages import wording
from athanor.pages.drawing import (
    FILLED,
    FONT_SIZE,
    INK,
    MUTED,
    OUTLINED,
    REFERENCE,
    RULE,
    STYLE,
    WIDTH,
    open_figure,
    to_svg,
)
from athanor.system.printable import printable

# Placeholder for the unit in the picture.
_UNIT: Final = "unit"
# Space left of the axes for numbers; in pixels, as all lengths.
_MARGIN: Final = 48
_ROW: Final = 22
# Relative to the height of a row.
_BAR: Final = 0.62
_CATEGORIES: Final = 8
_LABEL_LENGTH: Final = 17


def draw(column: Column, own: ColumnProfile, reference: ColumnProfile | None = None) -> str:
    """The distribution of a column, overlaid with a reference of the same kind; "" if neither has a value."""
    title = f"{column.name}: distribution{'' if reference is None else ' and reference distribution, dashed'}"
    with matplotlib.style.context(STYLE):
        match own, reference:
            case NumberProfile(), NumberProfile() | None if column.kind is Kind.BOOLEAN:
                return _draw_bars(title, _truths(own), _truths(reference))
            case NumberProfile(), NumberProfile() | None:
                return _draw_histogram(title, column, own, reference)
            case TextProfile(), TextProfile() | None:
                return _draw_bars(title, _categories(own), _categories(reference))
            case TimeProfile(), TimeProfile() | None:
                return _draw_times(title, own, reference)
    raise TypeError(f"{column.name}: a {type(own).__name__} has no reference of type {type(reference).__name__}")


def _draw_histogram(title: str, column: Column, own: NumberProfile, reference: NumberProfile | None) -> str:
    profiles = [profile for profile in (own, reference) if profile is not None and profile.present]
    if not profiles:
        return ""
    edges = histogram.choose_edges(profiles, is_whole=column.kind is Kind.INTEGER)
    if edges is None:
        return ""
    own_shares, *others = (histogram.bin_shares(profile, edges) for profile in (own, reference) if profile is not None)
    figure, axes = open_figure(
        206 if column.unit else 188, left=_MARGIN, right=16, top=20, bottom=40 if column.unit else 22
    )
    axes.stairs(own_shares, clip_on=False, **FILLED)
    for shares in (shares for shares in others if shares.any()):
        # No line along the axis for empty bins.
        axes.stairs(np.where(shares > 0, shares, np.nan), clip_on=False, **OUTLINED)
    _scale(axes, edges, highest=float(np.max([own_shares, *others])))
    axes.set_xlabel(_UNIT, loc="right", color=MUTED, size=FONT_SIZE, labelpad=4)
    if beyond := own.present - round(own_shares.sum() * own.present):
        note = f"{wording.plural(beyond, 'value') if own.is_exact else 'some values'} beyond this range"
        axes.set_title(note, loc="right", color=MUTED, size=FONT_SIZE, pad=6)
    return to_svg(figure, title, {_UNIT: printable(column.unit)})


def _scale(axes: Axes, edges: NDArray[np.float64], highest: float) -> None:
    """Labels both axes. The x axis counts bins: matplotlib merges values that differ too little."""
    bins = len(edges) - 1
    heights, places = _ticks(0, highest, 4), _ticks(edges[0], edges[-1], 6)
    axes.set(xlim=(0, bins), ylim=(0, highest))
    axes.set_yticks(heights, [f"{height:.4%}".rstrip("0%").rstrip(".") + "%" for height in heights])
    axes.set_xticks(
        [(place - edges[0]) / (edges[-1] - edges[0]) * bins for place in places],
        [wording.number(place) for place in places],
    )
    axes.grid(axis="y", color=RULE, linewidth=1, clip_on=False)


def _ticks(lowest: float, highest: float, count: int) -> list[float]:
    ticks = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(lowest, highest)
    return [float(f"{tick:.12g}") for tick in ticks if lowest <= tick <= highest * (1 + 1e-9)]


def true_share(profile: NumberProfile) -> float:
    """Share of true among present values; NaN without values."""
    return 1 - int(profile.count_at_most(0.5)) / profile.present if profile.present else float("nan")


def _truths(profile: NumberProfile | None) -> Mapping[str, float]:
    if profile is None or not len(profile.knots):
        return {}
    return {"true": true_share(profile), "false": 1 - true_share(profile)}


def _categories(profile: TextProfile | None) -> Mapping[str, float]:
    if profile is None:
        return {}
    return {name: n / profile.present for name, n in zip(profile.categories, profile.counts, strict=True)}


def _draw_bars(title: str, own: Mapping[str, float], reference: Mapping[str, float]) -> str:
    """A bar for each of the most frequent values of both sides, and one for all others."""
    largest = {name: max(own.get(name, 0), reference.get(name, 0)) for name in (*own, *reference)}
    if not largest:
        return ""
    # Ties keep the order of the profile.
    chosen = set(sorted(largest, key=lambda name: -largest[name])[:_CATEGORIES])
    names = [name for name in largest if name in chosen]
    rest = [1 - sum(side.get(name, 0) for name in names) if side else 0.0 for side in (own, reference)]
    labels = {f"label {i}": wording.shorten(printable(name), _LABEL_LENGTH) for i, name in enumerate(names)}
    lengths = [(own.get(name, 0.0), reference.get(name, 0.0)) for name in names]
    if max(rest) > 1e-9:
        labels[f"label {len(names)}"] = "all others"
        lengths.append((rest[0], rest[1]))
    return _draw_rows(title, labels, lengths, has_reference=bool(reference))


def _draw_rows(
    title: str, labels: Mapping[str, str], lengths: Sequence[tuple[float, float]], *, has_reference: bool
) -> str:
    """Horizontal bars with labels on the left and shares on the right.

    Args:
        labels: by placeholder.
    """
    left = max(_MARGIN, 14 + 7 * max(map(len, labels.values())))
    right = 122 if has_reference else 64
    figure, axes = open_figure(_ROW * len(lengths) + 4, left=left, right=right, top=2, bottom=2)
    longest = max(max(pair) for pair in lengths[:_CATEGORIES]) or 1.0
    unit = longest / (WIDTH - left - right)
    axes.set(xlim=(0, longest), ylim=(len(lengths) - 0.5, -0.5))
    axes.set_axis_off()
    for place, (placeholder, (own, reference)) in enumerate(zip(labels, lengths, strict=True)):
        axes.text(-8 * unit, place, placeholder, ha="right", va="center_baseline", color=INK)
        axes.text(longest + 58 * unit, place, wording.share(own), ha="right", va="center_baseline", color=INK)
        if has_reference:
            shown = wording.share(reference)
            axes.text(longest + 118 * unit, place, shown, ha="right", va="center_baseline", color=REFERENCE)
        # The bar of all others would dwarf the rest: leave it out.
        if place < _CATEGORIES:
            axes.barh(place, own, height=_BAR, clip_on=False, **FILLED)
            if reference:
                axes.barh(place, reference, height=_BAR, clip_on=False, **OUTLINED)
    return to_svg(figure, title, labels)


def _draw_times(title: str, own: TimeProfile, reference: TimeProfile | None) -> str:
    """Bars from the first to the last instant on one time axis, labelled with dates at both ends."""
    spans = [_seconds(profile) for profile in (own, reference) if profile is not None]
    instants = [instant for span in spans for instant in span]
    if not instants:
        return ""
    begin, end = min(instants), max(instants)
    figure, axes = open_figure(_ROW * len(spans) + 22, left=8, right=8, top=2, bottom=20)
    unit = (max(end - begin, 1)) / (WIDTH - 16)
    axes.set(xlim=(begin, begin + unit * (WIDTH - 16)), ylim=(len(spans) - 0.5, -0.5))
    axes.set_axis_off()
    for place, span in enumerate(spans):
        if span:
            look: Mapping[str, Any] = FILLED if place == 0 else OUTLINED
            # Keeps a single instant visible.
            length = max(span[1] - span[0], 2 * unit)
            axes.barh(place, length, height=_BAR, left=span[0], clip_on=False, **look)
    for instant, alignment in {begin: "left", end: "right"}.items():
        day = str(np.datetime64(int(instant), "s").astype("datetime64[D]"))
        axes.text(instant, len(spans) - 0.35, day, ha=alignment, va="top", color=MUTED, clip_on=False)
    return to_svg(figure, title)


def _seconds(profile: TimeProfile) -> tuple[float, ...]:
    """First and last instant as Unix time; empty without values."""
    ends = (profile.first, profile.last)
    return tuple(float(end.astype("datetime64[s]").astype(np.int64)) for end in ends if end is not None)
