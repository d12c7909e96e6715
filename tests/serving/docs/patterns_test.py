"""Patterns for those who are not Python: what can be said means the same, and what cannot is not said."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from athanor.serving.docs.patterns import lengths_of, make_example, to_ecma

_SAYABLE = [
    "[A-Z0-9]{2}",
    "[A-Z]{3}",
    "[A-Z]+|x",
    "(?P<code>a)-b?",
    "([A-Z]{2})-(?:[0-9]{3}|x){1,2}",
    r"[-a\]^]x/",
    "[^a-c]*?",
    "[^-]",
    r"\.\-\$ \t",
    "(?:ab){2,}c*",
]
_UNSAYABLE = [r"\d", r"[\w-]", ".", "^a$", r"a\Z", r"(a)\1", "a++", "(?i)a", "a(?i:b)", "(?=a)a", "(?<!b)a", r"\b"]


@pytest.mark.parametrize("pattern", _SAYABLE)
@given(data=st.data())
@PROPERTY
def test_what_is_said_matches_what_the_pattern_matches(pattern: str, data: st.DataObject) -> None:
    said = to_ecma(pattern)
    assert said is not None
    texts = st.from_regex(pattern, fullmatch=True) | st.text("aAbBcxX019-]^/.$ \t\n", max_size=6)
    text = data.draw(texts)
    assert bool(re.fullmatch(said, text)) == bool(re.fullmatch(pattern, text))


@pytest.mark.parametrize("pattern", _UNSAYABLE)
def test_what_means_something_else_there_is_not_said(pattern: str) -> None:
    assert to_ecma(pattern) is None


def test_a_character_of_the_syntax_is_escaped_as_every_reader_takes_it() -> None:
    assert to_ecma(r"a\-b\/[\-\]]") == r"a\u002db\/[\u002d\]]"


@pytest.mark.parametrize(
    ("pattern", "lengths"), [("[A-Z]{3}", (3, 3)), ("a?|bcd", (0, 3)), ("a+", (1, None)), ("", (0, 0))]
)
def test_lengths_are_told(pattern: str, lengths: tuple[int, int | None]) -> None:
    assert lengths_of(pattern) == lengths


@pytest.mark.parametrize(
    "pattern",
    [*_SAYABLE, r"\d{3}", r"[\w-]+", ".", "^a$", r"(a|b)\1", "a++", r"\S{3,5}", r"[^\W\d_]", r"\s\D\W", "[^A0a1 _-]"],
)
def test_an_example_matches_its_pattern(pattern: str) -> None:
    example = make_example(pattern)
    assert example is not None
    assert re.fullmatch(pattern, example)


@pytest.mark.parametrize("pattern", ["(?=b)a", "(?!A)[A-Z]"])
def test_where_no_example_is_found_there_is_none(pattern: str) -> None:
    assert make_example(pattern) is None
