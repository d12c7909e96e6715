"""Messages of protobuf that were right, made wrong field by field: what the wire allows and no stub would write."""

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet

from athanor.inspection.v1 import inspection_pb2
from delays.v1 import delays_pb2

_LONG: Final = 60_000
_VARINT, _FIXED64, _LENGTH_DELIMITED, _GROUP, _FIXED32 = 0, 1, 2, 3, 5


@dataclass
class _Field:
    """One field as it stands in the bytes of a message.

    Attributes:
        value: a number, bytes, or the fields of a message.
    """

    number: int
    wire: int
    value: Any


def mutate_message(draw: random.Random, content: bytes, descriptor: Descriptor) -> bytes:
    """A message with one to three of its fields changed, wherever they are in it."""
    fields = _decode(content, descriptor)
    for _ in range(draw.randint(1, 3)):
        places = list(_walk(fields))
        if places:
            siblings, position = draw.choice(places)
            draw.choice(_FIELD_CHANGES)(draw, siblings, position)
    return _encode(fields)


# What is a message in the bytes of another, though their descriptors do not say so.
_HIDDEN: Final = {
    inspection_pb2.ComputeFeaturesRequest.DESCRIPTOR.fields_by_name["request"]: (delays_pb2.PredictRequest.DESCRIPTOR)
}


def _decode(content: bytes, descriptor: Descriptor) -> list[_Field]:
    fields = []
    unknown: Any = UnknownFieldSet(Empty.FromString(content))  # the stubs know no iteration
    for found in unknown:
        known = descriptor.fields_by_number.get(found.field_number)
        inner = known and (known.message_type or _HIDDEN.get(known))
        value = found.data
        if inner and found.wire_type == _LENGTH_DELIMITED:
            value = _decode(value, inner)
        fields.append(_Field(found.field_number, found.wire_type, value))
    return fields


def _encode(fields: Sequence[_Field]) -> bytes:
    return b"".join(_encode_field(field) for field in fields)


def _encode_field(field: _Field) -> bytes:
    tag, value = _varint(field.number << 3 | field.wire), field.value
    if field.wire == _VARINT:
        return tag + _varint(value if isinstance(value, int) else 0)
    if field.wire in (_FIXED64, _FIXED32):
        size = 8 if field.wire == _FIXED64 else 4
        bits: int = value if isinstance(value, int) else 0
        return tag + (bits % (1 << 8 * size)).to_bytes(size, "little")
    if field.wire == _GROUP:
        return tag + _varint(field.number << 3 | 4)
    content: bytes = _encode(value) if isinstance(value, list) else value if isinstance(value, bytes) else b""
    return tag + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    value %= 2**64
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)


def _walk(fields: list[_Field]) -> Iterator[tuple[list[_Field], int]]:
    """Every field of a message and of those in it: the list it stands in, and where."""
    for position, field in enumerate(fields):
        yield fields, position
        if isinstance(field.value, list):
            yield from _walk(field.value)


def _put_number(draw: random.Random, fields: list[_Field], at: int) -> None:
    fields[at].wire = draw.choice((_VARINT, _VARINT, _FIXED64, _FIXED32))
    fields[at].value = draw.choice((*_WHOLE, *_DOUBLE_BITS)) if fields[at].wire != _VARINT else draw.choice(_WHOLE)


def _put_double(draw: random.Random, fields: list[_Field], at: int) -> None:
    fields[at].wire, fields[at].value = _FIXED64, draw.choice(_DOUBLE_BITS)


def _put_bytes(draw: random.Random, fields: list[_Field], at: int) -> None:
    fields[at].wire, fields[at].value = _LENGTH_DELIMITED, draw.choice(_BYTES)


def _put_wire(draw: random.Random, fields: list[_Field], at: int) -> None:
    fields[at].wire = draw.choice((_VARINT, _FIXED64, _LENGTH_DELIMITED, _GROUP, 4, 6, 7, _FIXED32))


def _put_field_number(draw: random.Random, fields: list[_Field], at: int) -> None:
    fields[at].number = draw.choice((0, 1, 2, 3, 4, 5, 6, 7, 100, 2**29 - 1))


def _put_twice(draw: random.Random, fields: list[_Field], at: int) -> None:
    fields[at:at] = [fields[at]] * draw.choice((1, 2, 40))


def _take_out(draw: random.Random, fields: list[_Field], at: int) -> None:
    del fields[at]


def _swap(draw: random.Random, fields: list[_Field], at: int) -> None:
    other = draw.randrange(len(fields))
    fields[at], fields[other] = fields[other], fields[at]


def _nest(draw: random.Random, fields: list[_Field], at: int) -> None:
    """The field within itself, deeper than a parser likes."""
    number, content = fields[at].number, _encode_field(fields[at])
    for _ in range(draw.choice((1, 30, 150))):
        content = _encode_field(_Field(number, _LENGTH_DELIMITED, content))
    fields[at] = _Field(number, _LENGTH_DELIMITED, content)


_WHOLE: Final = (0, 1, -1, 127, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1)
_DOUBLES: Final = (float("nan"), float("inf"), float("-inf"), -0.0, 1e308, -1e308, 5e-324, 1e15, -1.0)
_DOUBLE_BITS: Final = tuple(struct.unpack("<Q", struct.pack("<d", value))[0] for value in _DOUBLES)
_BYTES: Final = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    "✈".encode(),
    b"UA\n",
    b"x" * _LONG,
    b"\x0b" * 400,
    b"9" * 400,
    b"NaN",
    b"%s%n{}'\"<script>",
)
_FIELD_CHANGES: Final = (
    *(_put_number, _put_double, _put_double, _put_bytes, _put_bytes, _put_wire, _put_field_number),
    *(_put_twice, _take_out, _swap, _nest),
)
