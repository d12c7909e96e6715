"""Unpacks compressed gRPC messages. gRPC's own unpacking knows no caller, and not what the replica holds already."""

import asyncio
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from athanor.errors import InvalidRequestError

# Serialised messages begin with a tag. The first byte of gzip would have wire type 7, which does not exist; the first
# one of deflate would be a number in field 15, and each of our requests needs a field before that.
_GZIP: Final = b"\x1f\x8b"
_DEFLATE: Final = 0x78
_DEFLATE_MODULUS: Final = 31
_DETECT: Final = 32 + zlib.MAX_WBITS
# Unpacked in the event loop: a fifth of a millisecond. More takes a thread, which costs half as much.
_FIRST_BYTES: Final = 64 * 1024
_PART_BYTES: Final = 1024 * 1024
# One at a time: the event loop needs the other processor.
_THREAD: Final = ThreadPoolExecutor(1, "unpacking")


async def unpack(content: bytes, receive: Callable[[int], None]) -> bytes:
    """Returns a message, unpacked if it is compressed.

    Args:
        receive: called with the size of each part, before the next is unpacked; raises if there is no room.

    Raises:
        InvalidRequestError: it is compressed, and damaged.
    """
    if not _is_compressed(content):
        receive(len(content))
        return content
    inflate, parts = zlib.decompressobj(_DETECT), list[bytes]()
    try:
        _take(inflate, inflate.decompress(content, _FIRST_BYTES), parts, receive)
        while not inflate.eof:
            part = await asyncio.get_running_loop().run_in_executor(
                _THREAD, inflate.decompress, inflate.unconsumed_tail, _PART_BYTES
            )
            _take(inflate, part, parts, receive)
    except zlib.error as error:
        raise InvalidRequestError(f"the compressed message cannot be unpacked: {error}") from None
    if inflate.unused_data:
        raise InvalidRequestError(f"{len(inflate.unused_data)} bytes follow the compressed message; send it alone")
    return b"".join(parts)


def _take(inflate: Any, part: bytes, parts: list[bytes], receive: Callable[[int], None]) -> None:
    if not part and not inflate.eof:
        raise InvalidRequestError("the compressed message is cut off; send all of it")
    receive(len(part))
    parts.append(part)


def _is_compressed(content: bytes) -> bool:
    is_deflate = content[:1] == bytes([_DEFLATE]) and int.from_bytes(content[:2], "big") % _DEFLATE_MODULUS == 0
    return is_deflate or content[: len(_GZIP)] == _GZIP
