"""Patterns of columns as regular expressions of ECMA-262, which JSON Schema prescribes."""

import re
from typing import Final

# Characters with a meaning of their own; escaping any other is an error in ECMA-262.
_SYNTAX: Final = r"\\^$.*+?()\[\]{}|"
# UTF-16, which ECMA-262 matches without the flag for Unicode, has two units for a character beyond this range.
_BEYOND: Final = "\U00010000-\U0010ffff"
_ESCAPE: Final = rf"\\(?: [{_SYNTAX}/tnrfv] | x[0-9a-fA-F]{{2}} | u[0-9a-fA-F]{{4}} )"
# What means the same in both. All else is refused: classes such as \d (Unicode in Python), the dot, anchors,
# look-around, references, flags, possessive quantifiers, and brackets that only Python takes literally.
_TOKEN: Final = re.compile(
    rf"""
    [^{_SYNTAX}{_BEYOND}] | {_ESCAPE}
    | \[ \^? (?: [^\\\[\]^{_BEYOND}] | {_ESCAPE} ) (?: [^\\\[\]{_BEYOND}] | {_ESCAPE} )* \]
    | (?P<group> \( (?: \?: | \?P<\w+> )? (?!\?) )
    | [|)]
    | (?: [*+?] | \{{[0-9]+(?:,[0-9]*)?\}} ) \?? (?!\+)
    """,
    re.VERBOSE,
)


def to_ecma(pattern: str) -> str | None:
    """A pattern that matches in ECMA-262 what `re.fullmatch` does with this one, once it is anchored.

    None where there is none, or where finding one would take more than rewriting names of groups and needless escapes.
    """
    escaped = re.sub(r"\\(.)", _escape, pattern, flags=re.DOTALL)
    tokens = list(_TOKEN.finditer(escaped))
    if "".join(token[0] for token in tokens) != escaped:
        return None
    return "".join("(?:" if token["group"] else token[0] for token in tokens)


def _escape(escape: re.Match[str]) -> str:
    """The same character, escaped as ECMA-262 allows in a set and outside."""
    is_known = escape[1].isalnum() or re.match(rf"[{_SYNTAX}/]", escape[1])
    return escape[0] if is_known else f"\\u{ord(escape[1]):04x}"
