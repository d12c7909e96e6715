"""Charts inside an HTML page: matplotlib draws them, and their shapes and texts become an `<svg>` element.

Colours are CSS variables of the page, light or dark as the reader prefers: `--own` for the subject of the page,
`--reference` for its reference, `--ink`, `--muted` and `--rule` for the rest.
"""

import io
import re
from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree as ET

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from athanor.system.printable import printable

WIDTH: Final = 440
FONT_SIZE: Final = 12

# Placeholders for variables of the page, replaced once the chart is drawn.
OWN: Final = "#0a0b01"
REFERENCE: Final = "#0a0b02"
INK: Final = "#0a0b03"
MUTED: Final = "#0a0b04"
RULE: Final = "#0a0b05"
_VARIABLES: Final = {
    OWN: "var(--own)",
    REFERENCE: "var(--reference)",
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
}

FILLED: Final[Mapping[str, Any]] = {"fill": True, "fc": OWN, "lw": 0}
OUTLINED: Final[Mapping[str, Any]] = {"fill": False, "ec": REFERENCE, "lw": 1.6, "ls": (0, (3, 1.5))}

# Overrides the user's own settings of matplotlib. The fixed salt keeps names in the SVG from being random.
STYLE: Final = ("default", {"svg.fonttype": "none", "svg.hashsalt": "athanor", "font.size": FONT_SIZE})
_NO_METADATA: Final = {"Creator": None, "Date": None, "Format": None, "Type": None}


def open_figure(height: int, *, left: int, right: int, top: int, bottom: int) -> tuple[Figure, Axes]:
    """An empty figure, measured in CSS pixels, with margins around the axes."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, frameon=False)
    FigureCanvasSVG(figure)
    box = (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - top - bottom) / height)
    axes = figure.add_axes(box, frameon=False)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6, labelcolor=MUTED, labelsize=FONT_SIZE)
    return figure, axes


def to_svg(figure: Figure, title: str, labels: Mapping[str, str] | None = None, description: str = "") -> str:
    """The shapes and texts of a figure as SVG, without identifiers, which must be unique in a page.

    matplotlib's markers are lost: it draws them as references to a shape.

    Args:
        labels: replacements for texts of the figure. matplotlib would look for formulas and missing glyphs in them; a
            browser has more fonts.
        description: for readers who cannot see the chart; "" where the page has it beside the chart.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata=_NO_METADATA)
    source = ET.fromstring(drawn.getvalue())  # noqa: S314 - matplotlib has just written it
    picture = ET.Element("svg", {"class": "chart", "role": "img", "viewBox": source.attrib["viewBox"]})
    ET.SubElement(picture, "title").text = printable(title)
    if description:
        ET.SubElement(picture, "desc").text = printable(description)
    for element in source.iter():
        style = _restyle(element.get("style", ""))
        match element.tag.rpartition("}")[2]:
            case "path":
                ET.SubElement(picture, "path", {"d": _compact(element.attrib["d"]), "style": style})
            case "text":
                place = {name: _compact(element.attrib[name]) for name in ("x", "y")}
                words = ET.SubElement(picture, "text", {**place, "style": style})
                words.text = (labels or {}).get(element.text or "", element.text)
    return ET.tostring(picture, encoding="unicode")


def _restyle(style: str) -> str:
    """Uses the page's colour variables and font."""
    style = re.sub(r"font-family:[^;]*;?\s*", "", style)
    return re.sub(r"#[0-9a-f]{6}", lambda found: _VARIABLES.get(found[0], found[0]), style)


def _compact(numbers: str) -> str:
    """Rounds to a tenth of a pixel, as fine as a chart needs."""
    return " ".join(re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), numbers).split())
