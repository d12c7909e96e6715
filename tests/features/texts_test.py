"""Helpers for texts, against Python's."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.properties import SLOW_PROPERTY

from athanor.features.arrays import xp
from athanor.features.texts import join, look_up, normalize

# NumPy's texts of a fixed width, which are used eagerly, lose a zero at the end.
_TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1)
_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})


def _array(*values: Any) -> Any:
    return xp.asarray(np.array(values, dtype=None if values else np.str_))


@settings(SLOW_PROPERTY)
@given(_TEXTS)
@example(["  New   York ", " ", "", "ÄÖ ẞ", "İSTANBUL", "a\tB", "\u00a0X", "Ⅷ", "K"])
def test_normal_texts_have_single_spaces_and_lower_case(texts: list[str]) -> None:
    expected = [" ".join(filter(None, text.split(" "))).translate(_LOWER) for text in texts]
    assert normalize(_array(*texts)).unwrap_numpy().tolist() == expected


def test_there_may_be_no_texts() -> None:
    assert normalize(_array()).unwrap_numpy().shape == (0,)
    assert join(_array(), _array()).unwrap_numpy().shape == (0,)
    assert look_up(_array(), {"a": 1}).unwrap_numpy().shape == (0,)


@settings(SLOW_PROPERTY)
@given(_TEXTS)
def test_joined_texts_are_missing_if_one_is(texts: list[str]) -> None:
    reverse = texts[::-1]
    expected = [f"{one}-{other}" if one and other else "" for one, other in zip(texts, reverse, strict=True)]
    assert join(_array(*texts), _array(*reverse), separator="-").unwrap_numpy().tolist() == expected


def test_one_text_is_joined_to_nothing() -> None:
    assert join(_array("a", "")).unwrap_numpy().tolist() == ["a", ""]


@pytest.mark.parametrize(
    ("values", "table", "default", "expected"),
    [
        (("a", "b", ""), {"a": 1, "c": 2}, None, [1.0, np.nan, np.nan]),
        (("a", "b", ""), {"a": True}, -1, [1.0, -1.0, np.nan]),
        (("a", "b", ""), {"a": "A"}, None, ["A", "", ""]),
        (("a", "b", ""), {"a": "A"}, "?", ["A", "?", ""]),
        ((1.0, 2.0, np.nan, -0.0), {1: 10, 0: 5}, None, [10.0, np.nan, np.nan, 5.0]),
        ((1.0, 2.0, np.nan, np.inf), {1: "one"}, "more", ["one", "more", "", "more"]),
    ],
)
def test_a_table_says_what_it_says(values: tuple[Any, ...], table: Any, default: Any, expected: list[Any]) -> None:
    np.testing.assert_array_equal(look_up(_array(*values), table, default).unwrap_numpy(), np.array(expected))
