"""Compressed messages: unpacked part by part, and no further than there is room."""

import asyncio
import gzip
import random
import zlib
from collections.abc import Callable

import pytest
from support.flights import make_flight
from support.serving import make_request

from athanor.errors import InvalidRequestError, TooLargeError
from athanor.serving.doors.unpacking import unpack

_MIB = 1024 * 1024
_CONTENT = random.Random(1).randbytes(_MIB) + bytes(3 * _MIB)  # noqa: S311 - the same on every run
_REQUEST = make_request(make_flight()).SerializeToString()


def _unpack(content: bytes, receive: Callable[[int], None] = lambda size: None) -> bytes:
    return asyncio.run(unpack(content, receive))


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("content", [b"", b"x", _REQUEST, _CONTENT, bytes(_MIB), bytes(_MIB + 1)])
def test_a_compressed_message_is_unpacked_and_counted(compress: Callable[[bytes], bytes], content: bytes) -> None:
    received: list[int] = []
    assert _unpack(compress(content), received.append) == content
    assert sum(received) == len(content)
    assert max(received) <= _MIB


@pytest.mark.parametrize("content", [b"", _REQUEST, b"\x1f", b"\x78", b"\x78\x9d", b"\x1e\x8b"])
def test_a_message_that_is_not_compressed_stays_as_it_is(content: bytes) -> None:
    received: list[int] = []
    assert _unpack(content, received.append) == content
    assert received == [len(content)]


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (gzip.compress(_REQUEST)[:-1], "is cut off"),
        (gzip.compress(_CONTENT)[:-9], "is cut off"),
        (gzip.compress(_REQUEST)[:12], "is cut off"),
        (gzip.compress(_REQUEST)[:-6] + bytes(6), "cannot be unpacked"),
        (b"\x1f\x8b" + bytes(20), "cannot be unpacked"),
        (b"\x78\x9c" + b"\xff" * 20, "cannot be unpacked"),
        (gzip.compress(_REQUEST) + b"abc", "3 bytes follow"),
        (gzip.compress(_REQUEST) * 2, "bytes follow"),
    ],
)
def test_a_damaged_message_is_the_callers_error(packed: bytes, problem: str) -> None:
    with pytest.raises(InvalidRequestError, match=problem):
        _unpack(packed)


def test_no_more_is_unpacked_than_there_is_room_for() -> None:
    received: list[int] = []

    def receive(size: int) -> None:
        received.append(size)
        if sum(received) > 2 * _MIB:
            raise TooLargeError("it is too large")

    with pytest.raises(TooLargeError):
        _unpack(gzip.compress(bytes(200 * _MIB)), receive)
    assert sum(received) <= 3 * _MIB
