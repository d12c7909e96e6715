"""Text from elsewhere controls neither a terminal nor a page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from athanor.system.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a é 東 <b>", "a é 東 <b>"),
        ("\n\0\u202e\ud800", r"\n\x00\u202e\ud800"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("\x9b31m\x7f\r\x08", r"\x9b31m\x7f\r\x08"),
        ("\u2066\u2069\u200f\u061c\u2028", r"\u2066\u2069\u200f\u061c\u2028"),
    ],
)
def test_invisible_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_line_ends_can_be_kept() -> None:
    assert printable("a\n\tb\r\x1b", keep="\n\t") == "a\n\tb\\r\\x1b"


@given(st.text(st.characters()))
@PROPERTY
def test_any_text_becomes_printable_and_encodable(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()
