"""HTTP/2 by hand: what no gRPC library would send, as a caller or as a server."""

import socket
import struct
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
# Of the setting for the window of each stream.
INITIAL_WINDOW_SIZE: Final = 4

_HEAD: Final = struct.Struct("!HBBBI")


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def ends_stream(self) -> bool:
        return self.kind in {DATA, HEADERS} and bool(self.flags & END_STREAM)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return _HEAD.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def headers(stream: int, pairs: Iterable[tuple[str, str]], flags: int = END_HEADERS) -> bytes:
    """Pairs are sent as they are, and enter no table."""
    return frame(HEADERS, flags, stream, b"".join(b"\0" + _string(name) + _string(value) for name, value in pairs))


def message(content: bytes, is_compressed: bool = False) -> bytes:
    """A gRPC message with its length."""
    return struct.pack("!BI", is_compressed, len(content)) + content


def settings(**values: int) -> bytes:
    """Args: values: by name; `window` is the initial window of each stream."""
    known = {"window": INITIAL_WINDOW_SIZE}
    return frame(SETTINGS, 0, 0, b"".join(struct.pack("!HI", known[name], value) for name, value in values.items()))


def _string(text: str) -> bytes:
    content = text.encode()
    if len(content) < 127:
        return bytes([len(content)]) + content
    length, rest = b"\x7f", len(content) - 127
    while rest >= 128:
        length, rest = length + bytes([rest % 128 + 128]), rest // 128
    return length + bytes([rest]) + content


def read_frames(connection: socket.socket) -> Generator[Frame, None, None]:
    """Frames until the peer closes the connection."""
    with connection.makefile("rb") as reader:
        while len(head := reader.read(_HEAD.size)) == _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack(head)
            yield Frame(kind, flags, stream, reader.read(high << 8 | low))


class Caller:
    """A connection that opens streams and sends what it likes. It answers settings and pings, and nothing else."""

    def __init__(self, port: int, **options: int) -> None:
        """Args: options: as of `settings`."""
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._socket.sendall(PREFACE + settings(**options) + frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", 2**30)))
        self._frames = read_frames(self._socket)
        self._last = -1

    def open(self, path: str, *pairs: tuple[str, str]) -> int:
        """Sends the head of a call; returns its stream."""
        self._last += 2
        sent = ((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers"))
        self._socket.sendall(headers(self._last, (*sent, ("content-type", "application/grpc"), *pairs)))
        return self._last

    def send(self, stream: int, content: bytes, end: bool = False) -> None:
        """Sends a part of a body. It must fit into the peer's windows: 16 KiB on a stream, 64 KiB on the connection."""
        self._socket.sendall(frame(DATA, END_STREAM if end else 0, stream, content))

    def wait(self, *streams: int) -> dict[int, bytes]:
        """Waits until streams have ended; returns what was in the last headers of each, unless Huffman hides it."""
        left, last = set(streams), dict[int, bytes]()
        while left:
            found = next(self._frames)
            if found.kind in {SETTINGS, PING} and not found.flags & ACK:
                self._socket.sendall(frame(found.kind, ACK, 0, found.payload if found.kind == PING else b""))
            if found.kind == HEADERS:
                last[found.stream] = found.payload
            if found.ends_stream or found.kind == RST_STREAM:
                left.discard(found.stream)
        return {stream: last.get(stream, b"") for stream in streams}

    def close(self) -> None:
        self._frames.close()
        self._socket.close()

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
