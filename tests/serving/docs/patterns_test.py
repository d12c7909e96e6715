"""Patterns in ECMA-262: the same texts match, and a pattern without an equal is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from athanor.serving.docs.patterns import to_ecma

_SAME = [
    "[A-Z0-9]{2}",
    "[A-Z]{3}",
    "[A-Z]+|x",
    "(?P<code>a)-b?",
    "([A-Z]{2})-(?:[0-9]{3}|x){1,2}",
    r"[-a\]^]x/",
    "[^a-c]*?",
    "[^-]",
    r"\.\-\$ \t",
    r"[\x41-\u0043\-]\ \@",
    r"\\[^\\]",
    "(?:ab){2,}c*",
]
_DIFFERENT = [
    *(r"\d", r"[\w-]", r"\b", ".", "^a$", r"a\Z", r"\Aa", "$"),
    *(r"(a)\1", "(?P<a>a)(?P=a)", "(?i)a", "a(?i:b)", "(?=a)a", "(?<!b)a", "(?>a)", "(?#b)a"),
    *("a++", "a*+", "a?+", "a{2}+"),
    # Literal in Python alone.
    *("[]a]", "[^]a]", "[a[]", "a{,2}", "a{", "}", "]", "[^^]"),
    # Two units of UTF-16.
    *("\N{GRINNING FACE}", "[\N{GRINNING FACE}]"),
]


@pytest.mark.parametrize("pattern", _SAME)
@given(data=st.data())
@PROPERTY
def test_a_translated_pattern_matches_the_same_texts(pattern: str, data: st.DataObject) -> None:
    translated = to_ecma(pattern)
    assert translated is not None
    texts = st.from_regex(pattern, fullmatch=True) | st.text("aAbBcxX019-]^/.$ \t\n", max_size=6)
    text = data.draw(texts)
    assert bool(re.fullmatch(translated, text)) == bool(re.fullmatch(pattern, text))


@pytest.mark.parametrize("pattern", _DIFFERENT)
def test_a_pattern_with_another_meaning_is_refused(pattern: str) -> None:
    assert to_ecma(pattern) is None


def test_escapes_are_valid_with_and_without_the_flag_for_unicode() -> None:
    assert to_ecma(r"a\-b\/[\-\]]\\-\ ") == r"a\u002db\/[\u002d\]]\\-\u0020"


def test_names_of_groups_are_removed() -> None:
    assert to_ecma(r"(?P<code>[(?P<x>]+)\(?(b)") == r"(?:[(?P<x>]+)\(?(?:b)"
