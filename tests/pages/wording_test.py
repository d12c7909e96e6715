"""Numbers and text, formatted for people."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from athanor.pages import wording
from athanor.pages.wording import NONE


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (7.0, "7"),
        (1998.0, "1998"),
        (336_776.0, "336,776"),
        (-229.0, "\N{MINUS SIGN}229"),
        (0.0123456, "0.01235"),
        (38.4, "38.4"),
        (944.26, "944.3"),
        (9_999.7, "10000"),
        (-0.04, "\N{MINUS SIGN}0.04"),
        (1.2341e-7, "1.234e\N{MINUS SIGN}07"),
        (1.5e20, "1.5e+20"),
        (np.inf, "inf"),
        (np.nan, NONE),
    ],
)
def test_numbers_have_four_digits(value: float, shown: str) -> None:
    assert wording.number(value) == shown


@given(st.floats(-1e300, 1e300))
@PROPERTY
def test_a_number_is_shown_to_one_part_in_a_thousand(value: float) -> None:
    shown = wording.number(value).replace(",", "").replace("\N{MINUS SIGN}", "-")
    assert float(shown) == pytest.approx(value, rel=1e-3, abs=0)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0%"),
        (1e-9, "<0.01%"),
        (0.00005, "0.01%"),
        (0.1, "10%"),
        (0.1456, "14.56%"),
        (0.99996, ">99.99%"),
        (1.0, "100%"),
        (np.nan, NONE),
    ],
)
def test_a_share_is_0_or_100_percent_only_if_exact(value: float, shown: str) -> None:
    assert wording.share(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "p < 0.001"), (0.001, "p = 0.001"), (0.0214, "p = 0.021"), (1.0, "p > 0.999"), (np.nan, NONE)],
)
def test_p_values_have_three_digits(value: float, shown: str) -> None:
    assert wording.probability(value) == shown


def test_instants_are_shown_to_the_second() -> None:
    assert wording.instant(np.datetime64("2013-01-01T10:15:00.999999", "us")) == "2013-01-01 10:15:00"
    assert wording.instant(np.datetime64("NaT")) == NONE
    assert wording.instant(None) == NONE


def test_things_are_counted() -> None:
    assert wording.plural(1, "row") == "1 row"
    assert wording.plural(0, "row") == "0 rows"
    assert wording.plural(1_234, "row") == "1,234 rows"


def test_long_text_is_shortened() -> None:
    assert wording.shorten("abcde", 5) == "abcde"
    assert wording.shorten("abcdef", 5) == "abcd…"
