"""What a column's pattern says to whoever is not Python: as ECMA-262 writes it, and by a text that matches."""

import re
from collections.abc import Callable, Sequence

# Nobody but the interpreter itself tells what a pattern is made of.
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final, TypeAlias

_Part: TypeAlias = tuple[Any, Any]

_SYNTAX: Final = frozenset(r"\^$.*+?()[]{}|/-")
_LAST_OF_FOUR_DIGITS: Final = 0xFFFF
# How often a part without an upper bound is repeated in an example.
_A_FEW: Final = 1
_FIRST_TRIES: Final = "A0a1 _-B2"


class _NotPortableError(Exception):
    """A part of a pattern means something else in ECMA-262, or nothing."""


def to_ecma(pattern: str) -> str | None:
    """A pattern that matches in ECMA-262 what `re.fullmatch` does with this one, without anchors.

    None where there is none: classes such as digits, the dot, anchors and flags mean something else there. Literals,
    sets, repetitions, groups and alternatives are the same.
    """
    parsed = _parser.parse(pattern)
    if parsed.state.flags != re.UNICODE:
        return None
    try:
        return _write(parsed)
    except _NotPortableError:
        return None


def lengths_of(pattern: str) -> tuple[int, int | None]:
    """The fewest and the most characters that a text of this pattern has; None where there is no most."""
    shortest, longest = _parser.parse(pattern).getwidth()
    return shortest, None if longest >= op.MAXREPEAT else longest


def make_example(pattern: str) -> str | None:
    """A short text that matches the whole pattern; None where none is found."""
    found = _choose(_parser.parse(pattern), {})
    return found if re.fullmatch(pattern, found) else None


def _write(parts: Sequence[_Part]) -> str:
    return "".join(_write_part(kind, value) for kind, value in parts)


def _write_part(kind: Any, value: Any) -> str:
    if kind not in _WRITERS:
        raise _NotPortableError
    return _WRITERS[kind](value)


def _write_group(group: tuple[Any, int, int, Sequence[_Part]]) -> str:
    _, added_flags, removed_flags, content = group
    if added_flags | removed_flags:
        raise _NotPortableError
    return f"(?:{_write(content)})"


def _write_repeat(repeat: tuple[int, int, Sequence[_Part]]) -> str:
    fewest, most, content = repeat
    is_single = len(content) == 1 and content[0][0] in (op.LITERAL, op.NOT_LITERAL, op.IN)
    return (_write(content) if is_single else f"(?:{_write(content)})") + _write_count(fewest, most)


def _write_count(fewest: int, most: int) -> str:
    if most == op.MAXREPEAT:
        return {0: "*", 1: "+"}.get(fewest, f"{{{fewest},}}")
    if fewest == most:
        return f"{{{most}}}"
    return "?" if (fewest, most) == (0, 1) else f"{{{fewest},{most}}}"


def _write_set(members: Sequence[_Part]) -> str:
    negated = members[0][0] is op.NEGATE
    written = []
    for kind, value in members[negated:]:
        if kind is op.RANGE:
            written.append("-".join(map(_escape, value)))
        elif kind is op.LITERAL:
            written.append(_escape(value))
        else:
            raise _NotPortableError
    return f"[{'^' * negated}{''.join(written)}]"


def _escape(code: int) -> str:
    """A character, in or out of a set, with and without ECMA-262's flag for Unicode."""
    character = chr(code)
    if character.isprintable() and character not in _SYNTAX:
        return character
    if character in _SYNTAX and character != "-":
        return f"\\{character}"
    if code > _LAST_OF_FOUR_DIGITS:
        raise _NotPortableError
    return f"\\u{code:04x}"


_WRITERS: Final[dict[Any, Callable[[Any], str]]] = {
    op.LITERAL: _escape,
    op.NOT_LITERAL: lambda code: f"[^{_escape(code)}]",
    op.IN: _write_set,
    op.BRANCH: lambda branch: f"(?:{'|'.join(map(_write, branch[1]))})",
    op.SUBPATTERN: _write_group,
    op.MAX_REPEAT: _write_repeat,
    op.MIN_REPEAT: lambda repeat: f"{_write_repeat(repeat)}?",
}


def _choose(parts: Sequence[_Part], groups: dict[int, str]) -> str:
    """A text for parts of a pattern. What only looks around, such as an anchor, adds nothing."""
    return "".join(_CHOOSERS[kind](value, groups) for kind, value in parts if kind in _CHOOSERS)


def _choose_in_group(group: tuple[int, int, int, Sequence[_Part]], groups: dict[int, str]) -> str:
    number, _, _, content = group
    groups[number] = _choose(content, groups)
    return groups[number]


def _choose_repeated(repeat: tuple[int, int, Sequence[_Part]], groups: dict[int, str]) -> str:
    fewest, most, content = repeat
    return "".join(_choose(content, groups) for _ in range(max(fewest, min(_A_FEW, most))))


def _first(belongs: Callable[[int], bool], members: Sequence[_Part]) -> str:
    """A character that belongs: a plain one, or one that the set itself names."""
    named = (value if kind is op.LITERAL else value[0] for kind, value in members if kind in (op.LITERAL, op.RANGE))
    return next((chr(code) for code in (*map(ord, _FIRST_TRIES), *named) if belongs(code)), "")


def _membership(members: Sequence[_Part]) -> Callable[[int], bool]:
    negated = members[0][0] is op.NEGATE

    def belongs(code: int) -> bool:
        return negated != any(_is_one_of(code, kind, value) for kind, value in members[negated:])

    return belongs


def _is_one_of(code: int, kind: Any, value: Any) -> bool:
    if kind is op.RANGE:
        return bool(value[0] <= code <= value[1])
    return bool(code == value) if kind is op.LITERAL else _CATEGORIES[value](chr(code))


_CATEGORIES: Final[dict[Any, Callable[[str], bool]]] = {
    op.CATEGORY_DIGIT: str.isdecimal,
    op.CATEGORY_NOT_DIGIT: lambda character: not character.isdecimal(),
    op.CATEGORY_SPACE: str.isspace,
    op.CATEGORY_NOT_SPACE: lambda character: not character.isspace(),
    op.CATEGORY_WORD: lambda character: character.isalnum() or character == "_",
    op.CATEGORY_NOT_WORD: lambda character: not (character.isalnum() or character == "_"),
}

_CHOOSERS: Final[dict[Any, Callable[[Any, dict[int, str]], str]]] = {
    op.LITERAL: lambda code, _: chr(code),
    op.NOT_LITERAL: lambda unwanted, _: _first(lambda code: bool(code != unwanted), ()),
    op.ANY: lambda *_: _first(lambda _: True, ()),
    op.IN: lambda members, _: _first(_membership(members), members),
    op.BRANCH: lambda branch, groups: _choose(branch[1][0], groups),
    op.SUBPATTERN: _choose_in_group,
    op.GROUPREF: lambda number, groups: groups.get(number, ""),
    op.MAX_REPEAT: _choose_repeated,
    op.MIN_REPEAT: _choose_repeated,
    op.POSSESSIVE_REPEAT: _choose_repeated,
}
