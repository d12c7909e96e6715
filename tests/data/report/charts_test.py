"""Charts match any profile, and no text is interpreted as markup."""

import re
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.properties import SLOW_PROPERTY
from support.protos import Toy

from athanor.contract.columns import Column, Kind
from athanor.data.profiles.profile import NumberProfile, profile
from athanor.data.report.charts import draw, true_share
from athanor.data.report.histogram import bin_shares, choose_edges

_CONTRACT = Toy().read()
_AMOUNT, _COUNT, _CODE, _IS_NEW, _AT = map(_CONTRACT.column, ("amount", "count", "code", "is_new", "at"))


def _profile(column: Column, values: Any) -> Any:
    return profile([column], {column.name: np.asarray(values, dtype=column.kind.dtype)}).columns[column.name]


def _numbers(*values: float) -> NumberProfile:
    found: NumberProfile = _profile(_AMOUNT, values)
    return found


def _draw(column: Column, values: Any, reference: Any = None) -> ET.Element:
    drawn = draw(column, _profile(column, values), None if reference is None else _profile(column, reference))
    return ET.fromstring(drawn)  # noqa: S314 - drawn just now


def _words(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter("text")]


def _shapes(picture: ET.Element, variable: str) -> list[NDArray[np.float64]]:
    """The corners of each shape in a colour, of shape (n, 2)."""
    found = (e.attrib["d"] for e in picture.iter("path") if f"var(--{variable})" in e.attrib["style"])
    return [np.array(re.findall(r"[ML] (\S+) (\S+)", path), dtype=np.float64) for path in found]


def _heights(shape: NDArray[np.float64]) -> set[float]:
    """Of the bars of a histogram, in pixels; the axis is its lowest line."""
    return set((shape[:, 1].max() - shape[:, 1]).tolist()) - {0.0}


def test_bars_of_a_histogram_are_as_high_as_their_shares() -> None:
    shape = _shapes(_draw(_COUNT, [1, 1, 1, 1, 2, 3, 3]), "own")[0]
    assert sorted(_heights(shape)) == pytest.approx(
        [height * max(_heights(shape)) / 4 for height in (1, 2, 4)], abs=0.2
    )


def test_the_reference_is_a_dashed_outline_on_the_same_scale() -> None:
    picture = _draw(_COUNT, [1, 2], [2, 2])
    (own,), outlines = _shapes(picture, "own"), _shapes(picture, "reference")
    assert max(_heights(np.concatenate(outlines))) == pytest.approx(2 * max(_heights(own)), abs=0.2)
    styles = [e.attrib["style"] for e in picture.iter("path") if "--reference" in e.attrib["style"]]
    assert styles
    assert all("fill: none" in style and "stroke-dasharray" in style for style in styles)


@pytest.mark.parametrize(
    ("column", "values"),
    [(_COUNT, [1, 2]), (_CODE, ["A", "B"]), (_IS_NEW, [0, 1]), (_AT, ["2013-01-01", "2013-02-01"])],
)
def test_without_a_reference_none_is_drawn(column: Column, values: list[Any]) -> None:
    picture = _draw(column, values)
    assert _shapes(picture, "own")
    assert not _shapes(picture, "reference")


@pytest.mark.parametrize("column", [_AMOUNT, _COUNT, _CODE, _IS_NEW, _AT])
def test_without_values_on_either_side_there_is_no_chart(column: Column) -> None:
    empty = _profile(column, np.empty(0, dtype=column.kind.dtype))
    assert draw(column, empty, empty) == ""


def test_infinite_values_are_not_drawn() -> None:
    assert draw(_AMOUNT, _numbers(1.0, np.inf)) == ""


def test_the_unit_stands_at_the_axis() -> None:
    assert "kg" in _words(_draw(_AMOUNT, [1.5, 2.5]))


def test_values_beyond_the_range_are_counted() -> None:
    usual = np.linspace(0, 1, 500)
    assert "2 values beyond this range" in _words(_draw(_AMOUNT, [*usual, 1e6, -1e6]))
    assert not [word for word in _words(_draw(_AMOUNT, usual)) if "beyond" in word]


def test_values_beyond_the_range_are_not_counted_where_not_all_are_known() -> None:
    assert "some values beyond this range" in _words(_draw(_AMOUNT, [*np.linspace(0, 1, 3_000), 1e6]))


def _edges(*profiles: NumberProfile, is_whole: bool = False) -> NDArray[np.float64]:
    edges = choose_edges(profiles, is_whole=is_whole)
    assert edges is not None
    return edges


def test_bins_of_rounded_values_hold_equally_many_of_their_points() -> None:
    """Also with a stray value, and where the values are no binary fractions."""
    values = np.repeat(np.arange(100) * 1.15, 20)
    for found in (_numbers(*values), _numbers(*values, -3.0)):
        shares = bin_shares(found, _edges(found))
        full = shares[shares > 0.001]
        # The last may be cut.
        np.testing.assert_allclose(full[:-1], full[0])


def test_bins_of_anything_else_are_equally_wide() -> None:
    values = np.random.default_rng(0).normal(size=3_000)
    edges = _edges(_numbers(*values))
    assert len(edges) == 41
    np.testing.assert_allclose(np.diff(edges), np.diff(edges)[0])


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=50))
@SLOW_PROPERTY
def test_shares_are_those_that_numpy_counts(values: list[float]) -> None:
    edges = np.array([-100.0, -1.0, 0.0, 7.0, 100.0])
    # numpy's bins hold their lower edge, these their upper one.
    expected = np.histogram(-np.array(values), -edges[::-1])[0][::-1] / len(values)
    np.testing.assert_allclose(bin_shares(_numbers(*values), edges), expected)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20),
    st.lists(st.floats(allow_nan=True, allow_infinity=False), max_size=20),
)
@SLOW_PROPERTY
def test_any_numbers_can_be_drawn(own: list[float], reference: list[float]) -> None:
    with np.errstate(all="ignore"):
        profiles = _numbers(*own), _numbers(*reference)
    draw(_AMOUNT, *profiles)


@given(st.lists(st.text(min_size=1), max_size=12), st.lists(st.text(min_size=1), max_size=12))
@SLOW_PROPERTY
def test_any_texts_can_be_drawn(own: list[str], reference: list[str]) -> None:
    drawn = draw(_CODE, _profile(_CODE, own), _profile(_CODE, reference))
    assert not drawn or ET.fromstring(drawn).tag == "svg"  # noqa: S314 - drawn just now


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>", "<script>"),
        ("\"&'", "\"&'"),
        ("$x^2$", "$x^2$"),
        ("$", "$"),
        ("東京", "東京"),
        ("a\nb\0", "a\\nb\\x00"),
        ("\u202eevil", "\\u202eevil"),
        ("x" * 18, "x" * 16 + "…"),
    ],
)
def test_categories_are_shown_as_they_are(text: str, shown: str) -> None:
    assert shown in _words(_draw(_CODE, [text, "B"]))


def test_bars_are_as_long_as_their_shares() -> None:
    picture = _draw(_CODE, ["A", "A", "A", "B"], ["A", "B", "B", "B"])
    (a, b), (a_then, b_then) = ([np.ptp(s[:, 0]) for s in _shapes(picture, side)] for side in ("own", "reference"))
    assert a == pytest.approx(3 * b, abs=0.5)
    assert (a_then, b_then) == pytest.approx((b, a), abs=0.5)
    assert _words(picture) == ["A", "75%", "25%", "B", "25%", "75%"]


def test_rare_categories_are_summed_without_a_bar() -> None:
    names = [chr(ord("A") + n) for n in range(12)]
    picture = _draw(_CODE, [*names, *names[:8]])
    assert _words(picture)[-2:] == ["all others", "20%"]
    assert len(_shapes(picture, "own")) == 8


def test_a_category_that_has_gone_is_shown() -> None:
    assert "GONE" in _words(_draw(_CODE, list("ABCDEFGHI"), ["GONE"] * 9 + ["A"]))


def test_truth_values_are_bars() -> None:
    assert _words(_draw(_IS_NEW, [1, 1, 1, 0, np.nan])) == ["true", "75%", "false", "25%"]


def test_the_true_share_is_of_the_present_values() -> None:
    assert true_share(_profile(_IS_NEW, [1, 0, 0, 0, np.nan])) == 0.25
    assert np.isnan(true_share(_profile(_IS_NEW, [np.nan])))


def test_times_are_bars_from_the_first_to_the_last() -> None:
    picture = _draw(_AT, ["2013-02-01", "2013-03-01"], ["2013-01-04", "2013-02-01"])
    assert _words(picture) == ["2013-01-04", "2013-03-01"]
    (own,), (reference,) = _shapes(picture, "own"), _shapes(picture, "reference")
    assert own[:, 0].min() == pytest.approx(reference[:, 0].max(), abs=0.2)


def test_a_single_instant_is_seen() -> None:
    (own,) = _shapes(_draw(_AT, ["2013-02-01"]), "own")
    assert np.ptp(own[:, 0]) >= 2


def test_the_title_names_the_column() -> None:
    title = _draw(_AMOUNT, [1.0, 2.0]).find("title")
    assert title is not None
    assert title.text == "amount: distribution"


def test_a_picture_has_no_identifiers_no_references_and_no_colours_of_its_own() -> None:
    drawn = draw(_AMOUNT, _numbers(1.0, 2.5, 9.0), _numbers(4.0))
    assert not re.search(r"\bid=|url\(|href|#[0-9a-f]{3}|<style|font-family", drawn)


def test_the_users_matplotlib_settings_have_no_effect_and_are_kept() -> None:
    found = _numbers(1.0, 2.5, 9.0)
    expected = draw(_AMOUNT, found)
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": True, "lines.linewidth": 9}):
        settings = dict(mpl.rcParams)
        assert draw(_AMOUNT, found) == expected
        assert dict(mpl.rcParams) == settings


def test_a_reference_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="amount: a NumberProfile has no reference of type TextProfile"):
        draw(_AMOUNT, _numbers(1.0), _profile(_CODE, ["A"]))


def test_integers_are_in_the_middle_of_their_bins() -> None:
    found: NumberProfile = _profile(_COUNT, [1, 5])
    assert _COUNT.kind is Kind.INTEGER
    assert _edges(found, is_whole=True).tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
