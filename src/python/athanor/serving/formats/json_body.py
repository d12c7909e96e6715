"""JSON bodies, read in turns: counted before anything is built of them, then taken apart member by member.

Python's reader needs up to a hundred bytes for a value of two, and holds the interpreter from the first byte to the
last: 16 MB of `[],` take 5 seconds and 1 GB. So a body may hold no more lists, objects and values than the largest
request has, and the elements of its lists are read one after another.
"""

import codecs
import gc
import json
import math
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import numpy as np

from athanor.contract.shown import shown
from athanor.errors import FieldViolation, InvalidRequestError
from athanor.serving.formats.values import show

Read = TypeVar("Read")
Turns: TypeAlias = Generator[None, None, Read]
"""Work that yields where others may have their turn, and returns its result."""

_PART_BYTES: Final = 256 * 1024
_SMALL_CHARACTERS: Final = 16 * 1024
_SPACE: Final = re.compile(r"[ \t\n\r]*")
# Every larger whole number is beyond the doubles, and Python would take seconds for one of a million digits.
_LONGEST_EXACT: Final = 20
_LONGEST_FINITE: Final = 320
_QUOTE, _BACKSLASH = ord('"'), b"\\"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a body may hold: lists and objects, and values in them. `field` and `rows` are for the refusal."""

    containers: int
    values: int
    field: str
    max_rows: int


def read_text(body: bytes, limits: Limits) -> Turns[str]:
    """The text of a body. Raises InvalidRequestError if it is not UTF-8, or holds more than the limits allow."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in body[:4]:
        raise InvalidRequestError("the body is not UTF-8, but looks like UTF-16 or UTF-32; encode it as UTF-8")
    yield from _check_size(body, limits)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"the body is not UTF-8: byte {error.start} is {body[error.start]:#04x}") from None
    yield
    return text


def _check_size(body: bytes, limits: Limits) -> Turns[None]:
    """Counts brackets and commas; apart from texts only if there are too many with them, since that takes longer."""
    counts = yield from _count((body[at : at + _PART_BYTES] for at in range(0, len(body), _PART_BYTES)), limits)
    if _fits(counts, limits):
        return
    counts = yield from _count(_outside_texts(body), limits)
    if not _fits(counts, limits):
        violation = FieldViolation(limits.field, "TOO_MANY", f"has more than {limits.max_rows} rows, or rows too wide")
        raise InvalidRequestError(
            f"the body has more than {limits.containers} lists and objects, or {limits.values} values in them, the most"
            f" that {limits.max_rows} rows of this model have",
            (violation,),
        )


def _fits(counts: tuple[int, int], limits: Limits) -> bool:
    return counts[0] <= limits.containers and counts[1] <= limits.values


def _count(parts: Iterator[bytes], limits: Limits) -> Turns[tuple[int, int]]:
    """Lists and objects, and values beside the first of each; ends early where there are too many."""
    counts = (0, 0)
    for part in parts:
        counts = counts[0] + part.count(b"[") + part.count(b"{"), counts[1] + part.count(b",")
        if not _fits(counts, limits):
            break
        yield
    return counts


def _outside_texts(body: bytes) -> Iterator[bytes]:
    """The parts of a JSON text that are not within quotes."""
    inside, rest = False, b""
    for at in range(0, len(body), _PART_BYTES):
        part = (rest + body[at : at + _PART_BYTES]).replace(_BACKSLASH * 2, b"")
        # A backslash whose next character is in the next part.
        part, rest = (part[:-1], _BACKSLASH) if part.endswith(_BACKSLASH) else (part, b"")
        characters = np.frombuffer(part.replace(b'\\"', b""), np.uint8)
        within = np.logical_xor.accumulate(characters == _QUOTE) ^ inside
        if len(within):
            inside = bool(within[-1])
        yield characters[~within].tobytes()


def read_members(text: str) -> Iterator[tuple[str, int | None, Any]]:
    """The members of the object that a text holds, one after another.

    Yields:
        Name and None with a value; or, if the value is a list that is not empty, its elements by name and position.

    Raises:
        InvalidRequestError: the text is no JSON, no object, or gives a member twice.
    """
    members = _decode_small(text)
    if members is not None:
        yield from _take_apart(members)
        return
    names: set[str] = set()
    try:
        at = _skip(text, 0)
        if not text.startswith("{", at):
            value, at = _decode(text, at)
            _end(text, at)
            raise InvalidRequestError(f"the body is {show(value)}; give an object")
        at = _skip(text, at + 1)
        while not text.startswith("}", at):
            name, at = _read_name(text, at)
            if name in names:
                raise InvalidRequestError(f"the body has {shown(name)} twice; give it once")
            names.add(name)
            if text.startswith("[", at):
                at = yield from _read_elements(text, at, name)
            else:
                value, at = _decode(text, at)
                yield name, None, value
            at = _separate(text, at, "}")
        _end(text, at + 1)
    except RecursionError:
        raise InvalidRequestError("the body is not valid JSON for a request: it is nested too deeply") from None
    except ValueError as error:
        raise InvalidRequestError(f"the body is not valid JSON: {error}") from None


def _decode_small(text: str) -> dict[str, Any] | None:
    """The object in a small text, read at once, which is faster; None if it is large, or wrong in any way."""
    if len(text) > _SMALL_CHARACTERS:
        return None
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _take_apart(members: Mapping[str, Any]) -> Iterator[tuple[str, int | None, Any]]:
    for name, value in members.items():
        if isinstance(value, list) and value:
            for position, element in enumerate(value):
                yield name, position, element
        else:
            yield name, None, value


def _read_elements(text: str, at: int, name: str) -> Generator[tuple[str, int | None, Any], None, int]:
    at, position = _skip(text, at + 1), 0
    if text.startswith("]", at):
        yield name, None, []
    while not text.startswith("]", at):
        value, at = _decode(text, at)
        yield name, position, value
        position += 1
        at = _separate(text, at, "]")
    return at + 1


def _decode(text: str, at: int) -> tuple[Any, int]:
    """The value at a position, and where it ends."""
    if len(text) < _PART_BYTES or not gc.isenabled():
        return _DECODER.raw_decode(text, at)
    # The collector would look three times at each of a hundred thousand new lists, and take two thirds of the time.
    gc.disable()
    try:
        return _DECODER.raw_decode(text, at)
    finally:
        gc.enable()


def _read_name(text: str, at: int) -> tuple[str, int]:
    if not text.startswith('"', at):
        _fail("Expecting a name in double quotes", text, at)
    name, at = _decode(text, at)
    at = _skip(text, at)
    if not text.startswith(":", at):
        _fail("Expecting ':'", text, at)
    return name, _skip(text, at + 1)


def _separate(text: str, at: int, end: str) -> int:
    """Where the next member or element begins, or the end."""
    at = _skip(text, at)
    if text.startswith(",", at):
        at = _skip(text, at + 1)
        if text.startswith(end, at):
            _fail("Expecting a value after ','", text, at)
    elif not text.startswith(end, at):
        _fail(f"Expecting ',' or '{end}'", text, at)
    return at


def _end(text: str, at: int) -> None:
    at = _skip(text, at)
    if at < len(text):
        _fail("Extra data", text, at)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _fail(problem: str, text: str, at: int) -> NoReturn:
    raise json.JSONDecodeError(problem, text, at)


def _to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError(f"{shown(_find_twice(pairs))} is twice in one object")
    return made


def _find_twice(pairs: list[tuple[str, Any]]) -> str:
    seen = set[str]()
    for name, _ in pairs:
        if name in seen:
            break
        seen.add(name)
    return name


def _to_integer(text: str) -> int | float:
    if len(text) <= _LONGEST_EXACT:
        return int(text)
    if len(text) <= _LONGEST_FINITE:
        return float(text)
    return -math.inf if text.startswith("-") else math.inf


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_to_object, parse_int=_to_integer)
