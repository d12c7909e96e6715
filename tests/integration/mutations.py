"""Requests that were right, made wrong: bytes, whatever they mean, and JSON, by what no honest client would send."""

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final, TypeAlias

_LONG: Final = 60_000
_DEEP: Final = 3_000


def mutate_bytes(draw: random.Random, content: bytes) -> bytes:
    """The content after one to four changes at random places."""
    for _ in range(draw.randint(1, 4)):
        content = draw.choice(_BYTE_CHANGES)(draw, content)
    return content


def _place(draw: random.Random, content: bytes) -> int:
    return draw.randint(0, len(content))


def _flip(draw: random.Random, content: bytes) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _insert(draw: random.Random, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] + draw.randbytes(draw.randint(1, 8)) + content[at:]


def _delete(draw: random.Random, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] + content[at + draw.randint(1, 8) :]


def _truncate(draw: random.Random, content: bytes) -> bytes:
    return content[: _place(draw, content)]


def _splice(draw: random.Random, content: bytes) -> bytes:
    return content[: _place(draw, content)] + content[_place(draw, content) :]


def _repeat(draw: random.Random, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] + content[at : at + draw.randint(1, 32)] * draw.choice((2, 3, 50)) + content[at:]


def _overwrite(draw: random.Random, content: bytes) -> bytes:
    at = _place(draw, content)
    hostile = draw.choice((b"\xff" * 8, b"\0" * 8, b"\x80" * 12, b"{" * 20, b"1e999", b'"\\ud800"'))
    return content[:at] + hostile + content[at + len(hostile) :]


_BYTE_CHANGES: Final = (_flip, _flip, _insert, _delete, _truncate, _splice, _repeat, _overwrite)


Json: TypeAlias = Any


class _Text(str):
    """What stands in JSON as it is."""


class _Pairs(list[tuple[str, Json]]):
    """An object of JSON, in which a name may occur twice."""


def mutate_json(draw: random.Random, text: str) -> bytes:
    """JSON with one to three of its values changed, wherever they are in it. It may be none then."""
    root = [json.loads(text, object_pairs_hook=_Pairs)]
    for _ in range(draw.randint(1, 3)):
        siblings, position = draw.choice(list(_walk_json(root)))
        draw.choice(_JSON_CHANGES)(draw, siblings, position)
    # A lone surrogate is no UTF-8 either.
    return "".join(_render(value) for value in root).encode(errors="surrogatepass")


def _walk_json(siblings: list[Any]) -> Iterator[tuple[list[Any], int]]:
    for position, each in enumerate(siblings):
        yield siblings, position
        value = each[1] if isinstance(each, tuple) else each
        if isinstance(value, list):
            yield from _walk_json(value)


def _render(value: Json) -> str:
    if isinstance(value, _Text):
        return value
    if isinstance(value, _Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{_render(each)}" for name, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_render, value)) + "]"
    return json.dumps(value)


def _set(siblings: list[Any], at: int, value: Json) -> None:
    siblings[at] = (siblings[at][0], value) if isinstance(siblings[at], tuple) else value


def _put_hostile(draw: random.Random, siblings: list[Any], at: int) -> None:
    # A copy, for it may be changed afterwards.
    _set(siblings, at, deepcopy(draw.choice(_VALUES)))


def _put_name(draw: random.Random, siblings: list[Any], at: int) -> None:
    if isinstance(siblings[at], tuple):
        siblings[at] = (draw.choice(("", "\0", "✈", "x" * _LONG, "@type", "__proto__", "flights")), siblings[at][1])


def _put_json_twice(draw: random.Random, siblings: list[Any], at: int) -> None:
    siblings[at:at] = [siblings[at]] * draw.choice((1, 2, 40))


def _take_json_out(draw: random.Random, siblings: list[Any], at: int) -> None:
    del siblings[at]
    if not siblings:
        siblings.append(("", None) if isinstance(siblings, _Pairs) else None)


def _swap_json(draw: random.Random, siblings: list[Any], at: int) -> None:
    other = draw.randrange(len(siblings))
    siblings[at], siblings[other] = siblings[other], siblings[at]


def _wrap(draw: random.Random, siblings: list[Any], at: int) -> None:
    each = siblings[at][1] if isinstance(siblings[at], tuple) else siblings[at]
    _set(siblings, at, draw.choice(([each], [[each]], _Pairs([("flights", each)]), [each] * 50)))


_VALUES: Final[tuple[Json, ...]] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        2**31,
        -(2**63) - 1,
        10**400,
        "",
        "NaN",
        "Infinity",
        "-Infinity",
        "1",
        "x" * _LONG,
    ),
    *("\ud800", "\0", "✈", "9" * 5_000, "10000-01-01T00:00:00Z", "2013-01-01T10:15:00", "9999-12-31T23:59:59-24:00"),
    *([], _Pairs(), [None], [[]]),
    *map(
        _Text, ("1e999", "-1e999", "-0.0", "NaN", "Infinity", "1" * 5_000, "\ud800", "[" * _DEEP, "[" * 50 + "]" * 50)
    ),
    *(_Text('{"a":' * _DEEP + "1" + "}" * _DEEP), _Text("[" * _DEEP + "]" * _DEEP)),
)
_JSON_CHANGES: Final[tuple[Callable[[random.Random, list[Any], int], None], ...]] = (
    *(_put_hostile, _put_hostile, _put_hostile, _put_name),
    *(_put_json_twice, _take_json_out, _swap_json, _wrap),
)
