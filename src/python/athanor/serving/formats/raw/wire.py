"""Protobuf's wire format: what a message holds is counted before protobuf builds it.

Protobuf holds the interpreter while it parses, and takes up to forty bytes for an element of two: 16 MB of empty rows
take a second and 600 MB.

Standard: https://protobuf.dev/programming-guides/encoding
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from athanor.contract.plans import MOST_CONTRACTS
from athanor.serving.formats.json_body import Turns

SMALL_BYTES: Final = 16 * 1024
"""Messages up to this size need no counting: at worst they hold the interpreter for a millisecond."""

DELIMITED: Final = 2
"""The wire type of texts, bytes and messages."""
_VARINT, _64_BIT, _32_BIT = 0, 1, 5
_LONGEST_VARINT: Final = 10
FIELDS_A_TURN: Final = 2_048
"""Fields that are read before others have their turn."""
_WIDTHS: Final = {
    **dict.fromkeys((FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64), 8),
    **dict.fromkeys((FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_SFIXED32), 4),
    **dict.fromkeys((FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES), None),
}


class TooManyValuesError(ValueError):
    """A message holds more values than allowed."""


def read_fields(content: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message, or of a part of one.

    Yields:
        Number, wire type, and where the value begins and ends in the content.

    Raises:
        DecodeError: the bytes are no message, or have groups, which proto3 does not have.
    """
    at, last = start, len(content) if end is None else end
    try:
        while at < last:
            tag, at = _read_varint(content, at)
            kind, begin = tag & 7, at
            if kind == DELIMITED:
                length, begin = _read_varint(content, at)
                at = begin + length
            elif kind == _VARINT:
                _, at = _read_varint(content, at)
            elif kind in (_64_BIT, _32_BIT):
                at += 8 if kind == _64_BIT else 4
            else:
                raise DecodeError(f"byte {begin} begins a field of wire type {kind}")
            if at > last:
                raise DecodeError(f"the field at byte {begin} ends after the message")
            yield tag >> 3, kind, begin, at
    except IndexError:
        raise DecodeError("the message ends within a field") from None


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    byte = content[at]
    if byte < 0x80:
        return byte, at + 1
    value = 0
    for position in range(_LONGEST_VARINT):
        byte = content[at + position]
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, at + position + 1
    raise DecodeError(f"the number at byte {at} does not end")


def check_values(
    content: bytes, descriptor: Descriptor, most: int, start: int = 0, end: int | None = None
) -> Turns[int]:
    """Counts the values of a message and of the messages within it, elements of packed lists included.

    Raises:
        DecodeError: as `read_fields`.
        TooManyValuesError: it holds more than `most`.
    """
    known, count = _read_kinds(descriptor), 0
    for number, kind, begin, at in read_fields(content, start, end):
        within, width = known.get(number, (None, None)) if kind == DELIMITED else (None, None)
        if within is not None:
            count += yield from check_values(content, within, most - count, begin, at)
        elif width is not None:
            count += _count_packed(content, begin, at, width)
        count += 1
        if count > most:
            raise TooManyValuesError
        if count % FIELDS_A_TURN == 0:
            yield
    return count


@lru_cache(4 * MOST_CONTRACTS)
def _read_kinds(descriptor: Descriptor) -> Mapping[int, tuple[Descriptor | None, int | None]]:
    """For each field its message type, or bytes of an element of a packed list: 0 if they differ, None if none is."""
    return {f.number: (f.message_type, None if f.message_type else _WIDTHS.get(f.type, 0)) for f in descriptor.fields}


def _count_packed(content: bytes, begin: int, end: int, width: int) -> int:
    if width:
        return (end - begin) // width
    # The last byte of each number has no continuation bit.
    return int(np.count_nonzero(np.frombuffer(content, np.uint8, end - begin, begin) < 0x80)) if end > begin else 0
