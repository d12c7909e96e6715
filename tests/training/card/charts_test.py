"""Charts of a model card match the predictions; a chart that cannot be drawn is left out."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from support.properties import SLOW_PROPERTY

from athanor.training.card.importance_chart import IMPORTANT, draw_importance
from athanor.training.card.probability_charts import (
    Probabilities,
    bin_answers,
    draw_calibration,
    draw_precision_recall,
    draw_roc,
)

_CURVES: Final[tuple[Callable[[Probabilities], str], ...]] = (draw_roc, draw_precision_recall, draw_calibration)


def _answers(count: int = 2_000) -> Probabilities:
    random = np.random.default_rng(0)
    true = random.uniform(0, 1, count)
    labels = (random.uniform(size=count) < true).astype(np.int64)
    return Probabilities(labels, true, np.clip(true + random.normal(0, 0.5, count), 0, 1))


def _parse(drawn: str) -> ET.Element:
    return ET.fromstring(drawn)  # noqa: S314 - drawn just now


def _words(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter("text")]


def _text(picture: ET.Element, tag: str) -> str:
    return picture.findtext(tag) or ""


def _lines(picture: ET.Element, variable: str) -> list[NDArray[np.float64]]:
    """The points of each line in a colour, of shape (n, 2), in pixels from the upper left."""
    found = (e.attrib for e in picture.iter("path") if f"stroke: var(--{variable})" in e.attrib["style"])
    return [np.array(re.findall(r"[ML] (\S+) (\S+)", path["d"]), dtype=np.float64) for path in found]


def _lengths(picture: ET.Element) -> list[float]:
    """Of the bars of the model."""
    found = (e.attrib for e in picture.iter("path") if "fill: var(--own)" in e.attrib["style"])
    bars = [np.array(re.findall(r"[ML] (\S+) (\S+)", path["d"]), dtype=np.float64) for path in found]
    return [float(np.ptp(bar[:, 0])) for bar in bars]


@pytest.mark.parametrize("draw", [draw_roc, draw_precision_recall])
def test_curves_of_both_go_from_end_to_end(draw: Callable[[Probabilities], str]) -> None:
    picture = _parse(draw(_answers()))
    (ours,), (theirs,) = _lines(picture, "own"), _lines(picture, "reference")
    assert np.ptp(ours[:, 0]) == pytest.approx(np.ptp(theirs[:, 0]), abs=0.2)
    assert np.ptp(ours[:, 0]) > 300
    assert len(ours) <= 200


def test_the_better_model_has_the_higher_roc_curve() -> None:
    picture = _parse(draw_roc(_answers()))
    (ours,), (theirs,) = _lines(picture, "own"), _lines(picture, "reference")
    middle = ours[:, 0].mean()
    heights = [np.interp(middle, line[:, 0], -line[:, 1]) for line in (ours, theirs)]
    assert heights[0] > heights[1] + 20


def test_a_thinned_curve_keeps_its_area() -> None:
    answers = _answers(20_000)
    (ours,) = _lines(_parse(draw_roc(answers)), "own")
    scaled = (ours - ours[0]) / (ours[-1] - ours[0])
    area = np.trapezoid(scaled[:, 1], scaled[:, 0])
    assert area == pytest.approx(roc_auc_score(answers.labels, answers.ours), abs=0.005)


def test_the_baseline_is_dashed_and_the_model_is_not() -> None:
    for draw in _CURVES:
        styles = [e.attrib["style"] for e in _parse(draw(_answers())).iter("path")]
        theirs = [style for style in styles if "stroke: var(--reference)" in style]
        ours = [style for style in styles if "stroke: var(--own)" in style]
        assert theirs
        assert ours
        assert all("stroke-dasharray" in style for style in theirs)
        assert not any("stroke-dasharray" in style for style in ours)


def test_every_chart_has_a_text_description() -> None:
    answers = _answers()
    roc, found, calibration = (_parse(draw(answers)) for draw in _CURVES)
    assert f"is {roc_auc_score(answers.labels, answers.ours):.4f}," in _text(roc, "desc")
    assert f"baseline's {average_precision_score(answers.labels, answers.baseline):.4f}." in _text(found, "desc")
    assert f"{bin_answers(answers.labels, answers.ours)[0].rows} rows with" in _text(calibration, "desc")
    assert "distance 0.2500, carrier \N{MINUS SIGN}0.0010." in _text(
        _parse(draw_importance({"distance": 0.25, "carrier": -0.001}, "precision")), "desc"
    )
    assert all(_text(picture, "title") for picture in (roc, found, calibration))


def test_bins_are_of_equal_width_and_hold_their_rows() -> None:
    labels = np.array([0, 1, 1, 0, 1])
    found = bin_answers(labels, np.array([0.0, 0.05, 0.1, 0.95, 1.0]))
    assert {position: of.rows for position, of in found.items()} == {0: 2, 1: 1, 9: 2}
    assert [found[position].predicted for position in (0, 1, 9)] == pytest.approx([0.025, 0.1, 0.975])
    assert [found[position].true for position in (0, 1, 9)] == [0.5, 1.0, 0.5]


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=50))
@SLOW_PROPERTY
def test_bins_hold_every_row_once(rows: list[tuple[float, int]]) -> None:
    probabilities, labels = np.array([p for p, _ in rows]), np.array([label for _, label in rows])
    found = bin_answers(labels, probabilities)
    assert sum(of.rows for of in found.values()) == len(rows)
    assert sum(of.rows * of.true for of in found.values()) == pytest.approx(labels.sum())
    assert sum(of.rows * of.predicted for of in found.values()) == pytest.approx(probabilities.sum())


def test_calibration_counts_the_rows_of_each_bin() -> None:
    answers = Probabilities(np.tile([0, 1], 750), np.repeat([0.05, 0.95], [1_200, 300]), np.full(1_500, 0.5))
    words = _words(_parse(draw_calibration(answers)))
    assert "1,200" in words
    assert "300" in words
    assert "1,500" not in words


@pytest.mark.parametrize(("count", "shown"), [(99_999, "99,999"), (240_000, "240k"), (3_400_000, "3.4M")])
def test_large_counts_fit_above_their_bars(count: int, shown: str) -> None:
    answers = Probabilities(np.arange(count) % 2, np.full(count, 0.5), np.full(count, 0.5))
    assert shown in _words(_parse(draw_calibration(answers)))


def test_a_calibrated_model_is_on_the_dotted_line() -> None:
    (ours,) = _lines(_parse(draw_calibration(_answers(50_000))), "own")
    (diagonal,) = (line for line in _lines(_parse(draw_calibration(_answers())), "muted") if len(line) == 2)
    expected = np.interp(ours[:, 0], diagonal[:, 0], diagonal[:, 1])
    np.testing.assert_allclose(ours[:, 1], expected, atol=6)


def test_an_overconfident_model_is_below_the_line() -> None:
    answers = _answers(50_000)
    bold = replace(answers, ours=answers.ours**0.3)
    (ours,) = _lines(_parse(draw_calibration(bold)), "own")
    (diagonal,) = (line for line in _lines(_parse(draw_calibration(bold)), "muted") if len(line) == 2)
    inner = ours[:-1]
    assert (inner[:, 1] > np.interp(inner[:, 0], diagonal[:, 0], diagonal[:, 1]) + 5).all()


@pytest.mark.parametrize("draw", _CURVES)
@pytest.mark.parametrize("labels", [np.zeros(5, np.int64), np.ones(5, np.int64), np.empty(0, np.int64)])
def test_without_both_labels_there_is_no_chart(draw: Callable[[Probabilities], str], labels: NDArray[np.int64]) -> None:
    assert draw(Probabilities(labels, np.full(len(labels), 0.5), np.full(len(labels), 0.5))) == ""


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=20))
@SLOW_PROPERTY
def test_any_probabilities_can_be_drawn(rows: list[tuple[float, float]]) -> None:
    ours, theirs = (np.array([0.5, 0.5, *(row[side] for row in rows)]) for side in (0, 1))
    answers = Probabilities(np.arange(len(ours)) % 2, ours, theirs)
    assert all(_parse(draw(answers)).tag == "svg" for draw in _CURVES)


def test_bars_are_as_long_as_the_loss() -> None:
    picture = _parse(draw_importance({"a": 0.4, "b": 0.1, "c": 0.0, "d": -0.2}, "precision"))
    longest, other, *rest = _lengths(picture)
    assert longest == pytest.approx(4 * other, abs=0.5)
    assert rest == pytest.approx([0] * len(rest), abs=0.1)
    assert _words(picture) == ["a", "0.4000", "b", "0.1000", "c", "0.0000", "d", "\N{MINUS SIGN}0.2000"]


def test_not_more_than_the_most_important_are_drawn() -> None:
    picture = _parse(draw_importance({f"f{i}": 1.0 for i in range(IMPORTANT + 5)}, "precision"))
    assert [word for word in _words(picture) if word.startswith("f")] == [f"f{i}" for i in range(IMPORTANT)]


@pytest.mark.parametrize("importance", [{"only": 0.5}, {"only": 0.0}, {"only": -1.0}])
def test_a_single_feature_can_be_drawn(importance: dict[str, float]) -> None:
    assert _words(_parse(draw_importance(importance, "precision")))[0] == "only"


def test_without_features_there_is_no_chart() -> None:
    assert draw_importance({}, "precision") == ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>", "<script>"),
        ("$x^2$", "$x^2$"),
        ("東京", "東京"),
        ("\u202eevil\n", "\\u202eevil\\n"),
        ("x" * 30, "x" * 23 + "…"),
    ],
)
def test_names_of_features_are_shown_as_they_are(name: str, shown: str) -> None:
    assert shown in _words(_parse(draw_importance({name: 0.5}, "precision")))


def test_a_picture_has_no_identifiers_no_references_and_no_colours_of_its_own() -> None:
    for drawn in (*(draw(_answers()) for draw in _CURVES), draw_importance({"a": 1.0}, "precision")):
        assert not re.search(r"\bid=|url\(|href|#[0-9a-f]{3}|<style|font-family|<use", drawn)


def test_the_users_matplotlib_settings_have_no_effect_and_are_kept() -> None:
    def draw_all() -> list[str]:
        return [*(draw(_answers()) for draw in _CURVES), draw_importance({"a": 1.0}, "precision")]

    expected = draw_all()
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": True, "lines.linewidth": 9}):
        settings = dict(mpl.rcParams)
        assert draw_all() == expected
        assert dict(mpl.rcParams) == settings
