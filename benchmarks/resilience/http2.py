"""A caller that opens streams and never sends what it promised, as far as the server's windows allow."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from types import TracebackType

from support.http2 import (
    ACK,
    DATA,
    GOAWAY,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    headers,
    settings,
)

_DEFAULT_WINDOW = 65_535
_FRAME_BYTES = 16_384
_HEAD_BYTES = 9
_SEND_S = 10.0
_LOOK_S = 0.05


class SlowCaller:
    """One connection. It ends for good when the server closes it: then nothing more is sent."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _SEND_S)
        self._received = bytearray()
        self._initial = _DEFAULT_WINDOW
        self._windows = {0: _DEFAULT_WINDOW}
        self._last = -1
        self._is_closed = False
        self._write(PREFACE + settings())

    def __enter__(self) -> SlowCaller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def open(self, path: str, pairs: Iterable[tuple[str, str]] = ()) -> int:
        """Sends the head of a gRPC call; returns its stream."""
        self._last += 2
        self._windows[self._last] = self._initial
        head = ((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers"))
        self._write(headers(self._last, (*head, ("content-type", "application/grpc"), *pairs)))
        return self._last

    def send(self, stream: int, content: bytes, timeout_s: float) -> int:
        """Sends as much as the windows allow in this time; returns how many bytes."""
        sent, deadline = 0, time.monotonic() + timeout_s
        while sent < len(content) and time.monotonic() < deadline and not self._is_closed:
            allowed = min(self._windows[0], self._windows[stream], _FRAME_BYTES, len(content) - sent)
            if allowed > 0:
                self._write(frame(DATA, 0, stream, content[sent : sent + allowed]))
                for window in (0, stream):
                    self._windows[window] -= allowed
                sent += allowed
            self._read(_LOOK_S if allowed <= 0 else 0.0)
        return sent

    def _write(self, content: bytes) -> None:
        try:
            self._socket.settimeout(_SEND_S)
            self._socket.sendall(content)
        except OSError:
            self._is_closed = True

    def _read(self, timeout_s: float) -> None:
        self._socket.settimeout(timeout_s)
        try:
            content = self._socket.recv(1 << 16)
            self._is_closed |= not content
            self._received += content
        except (TimeoutError, BlockingIOError):
            return
        except OSError:
            self._is_closed = True
        while len(self._received) >= _HEAD_BYTES + (length := int.from_bytes(self._received[:3], "big")):
            kind, flags = self._received[3], self._received[4]
            stream = int.from_bytes(self._received[5:_HEAD_BYTES], "big")
            self._handle(kind, flags, stream, bytes(self._received[_HEAD_BYTES : _HEAD_BYTES + length]))
            del self._received[: _HEAD_BYTES + length]

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            self._windows[stream] = self._windows.get(stream, 0) + int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack("!HI", payload):
                if name == INITIAL_WINDOW_SIZE:
                    self._widen(value)
            self._write(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self._write(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self._is_closed = True

    def _widen(self, initial: int) -> None:
        for stream in self._windows.keys() - {0}:
            self._windows[stream] += initial - self._initial
        self._initial = initial
