"""Compressed bodies of requests, unpacked a little at a time: a kilobyte can hold a megabyte."""

import zlib
from collections.abc import Iterator
from typing import Any, Final

from athanor.contract.shown import shown
from athanor.errors import InvalidRequestError, UnsupportedEncodingError

ENCODINGS: Final = "gzip, deflate"
_PART_BYTES: Final = 64 * 1024
_GZIP, _ZLIB, _RAW = 31, 15, -15


def unpacker_of(encoding: str | None) -> "Unpacker | None":
    """For the value of a `content-encoding`; None where the body is as it is.

    Raises:
        UnsupportedEncodingError: the encoding is another than gzip and deflate, or more than one.
    """
    name = (encoding or "").strip().lower()
    if name in ("", "identity"):
        return None
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedEncodingError(
            f"the body has the content-encoding {shown(encoding)}; send it with {ENCODINGS}, or as it is"
        )
    return Unpacker("deflate" if name == "deflate" else "gzip")


class Unpacker:
    """Unpacks one body."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stream: Any = None

    def unpack(self, packed: bytes) -> Iterator[bytes]:
        """The parts of a body that are in the next bytes of it. Raises InvalidRequestError if these are damaged."""
        # Each end of a stream copies what follows it.
        for at in range(0, len(packed), _PART_BYTES):
            yield from self._unpack(packed[at : at + _PART_BYTES])

    def _unpack(self, packed: bytes) -> Iterator[bytes]:
        while packed:
            if self._stream is None or self._stream.eof:
                self._stream = zlib.decompressobj(_GZIP if self._name == "gzip" else self._find_format(packed))
            try:
                yield self._stream.decompress(packed, _PART_BYTES)
            except zlib.error as error:
                raise InvalidRequestError(f"the body is not valid {self._name}: {error}") from None
            # What is left of this stream, or the next one: gzip has several one after another.
            packed = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail

    def _find_format(self, packed: bytes) -> int:
        """HTTP's `deflate` is zlib's format, but some clients send it without zlib's header."""
        if self._stream is not None:
            raise InvalidRequestError("the body goes on after the end of its deflate data")
        return _ZLIB if packed[0] & 0x0F == 8 and int.from_bytes(packed[:2]) % 31 == 0 else _RAW

    def end(self) -> None:
        """Raises InvalidRequestError if the body ends before its data."""
        if self._stream is None or not self._stream.eof:
            raise InvalidRequestError(f"the body ends within its {self._name} data")
