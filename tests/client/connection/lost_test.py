"""Calls that no replica answered: each is repeated, whatever lost it."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from client.scripted import QUICK
from support.flights import make_flight
from support.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Frame,
    frame,
    headers,
    message,
    read_frames,
)

from athanor.client.aio import AsyncClient
from athanor.client.client import Client, connect
from athanor.errors import AthanorError
from delays.v1 import delays_pb2

# Maps a call's stream to the bytes that a peer sends. None closes the connection.
Script = Callable[[int], bytes | None]

_GRPC: Final = (("content-type", "application/grpc"),)
_LAST: Final = END_HEADERS | END_STREAM


def _answer(stream: int) -> bytes:
    response = delays_pb2.PredictResponse(predictions=[delays_pb2.Prediction(late_probability=0.5)])
    return (
        headers(stream, ((":status", "200"), *_GRPC))
        + frame(DATA, 0, stream, message(response.SerializeToString()))
        + headers(stream, (("grpc-status", "0"),), _LAST)
    )


def _reset(code: int) -> Script:
    return lambda stream: frame(RST_STREAM, 0, stream, struct.pack("!I", code))


def _http(status: int) -> Script:
    return lambda stream: headers(stream, ((":status", str(status)), ("content-type", "text/html")), _LAST)


def _status(code: int, text: str = "") -> Script:
    sent = ((":status", "200"), *_GRPC, ("grpc-status", str(code)), ("grpc-message", text))
    return lambda stream: headers(stream, sent, _LAST)


def _begin_and(then: Script) -> Script:
    """Loses the call in the middle of its answer."""
    return lambda stream: headers(stream, ((":status", "200"), *_GRPC)) + (then(stream) or b"")


def _go_away(stream: int) -> bytes:
    """As of a server that stops before it has looked at the call."""
    return frame(GOAWAY, 0, 0, struct.pack("!II", 0, 0))


_LOSSES: Final[dict[str, Script]] = {
    "the connection is closed": lambda stream: None,
    "a server stops before it looks at the call": _go_away,
    **{f"the stream is reset with {code}": _reset(code) for code in (0, 1, 2, 3, 5, 7, 8, 11)},
    "the answer is reset with 2": _begin_and(_reset(2)),
    "the answer is reset with 8": _begin_and(_reset(8)),
    "the answer has no status": _begin_and(lambda stream: frame(DATA, END_STREAM, stream)),
    **{f"a proxy answers {status}": _http(status) for status in (408, 429, 500, 502, 503, 504)},
    "a proxy answers UNAVAILABLE": _status(14),
    "a server that stops answers CANCELLED": _status(1, "CANCELLED"),
    "a server has not looked at the call": _status(8, "Too many pending requests for this server"),
}
_FINAL: Final[dict[str, Script]] = {
    **{f"a proxy answers {status}": _http(status) for status in (400, 401, 403, 404)},
    "a server fails": _status(13, "it failed"),
    "a server does not know": _status(2, "it failed"),
    "a server is full": _status(8, "full"),
    "a server does not know the method": _status(12),
    "a server lost data": _status(15),
}


class _Peer:
    """An HTTP/2 server on 127.0.0.1 that answers the first call by a script, and all others well."""

    def __init__(self, script: Script) -> None:
        self.asked = 0
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        try:
            connection.recv(len(PREFACE), socket.MSG_WAITALL)
            connection.sendall(frame(SETTINGS, 0, 0))
            for found in read_frames(connection):
                reply = self._reply(found)
                if reply is None:
                    return
                connection.sendall(reply)
        except OSError:
            return

    def _reply(self, found: Frame) -> bytes | None:
        if found.kind in {SETTINGS, PING}:
            return b"" if found.flags & ACK else frame(found.kind, ACK, 0, found.payload if found.kind == PING else b"")
        if found.kind not in {DATA, HEADERS} or not found.ends_stream:
            return b""
        self.asked += 1
        return self._script(found.stream) if self.asked == 1 else _answer(found.stream)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def _peer(script: Script) -> Iterator[_Peer]:
    peer = _Peer(script)
    thread = threading.Thread(target=peer.serve)
    thread.start()
    try:
        yield peer
    finally:
        peer.close()
        thread.join(60)


def _ask(port: int) -> tuple[Any, int]:
    """The answer, and how often the client has retried."""
    with connect(f"127.0.0.1:{port}", retry=QUICK) as connection:
        client = Client("delays", connection)
        return client.predict([make_flight()]), client.retries


def _ask_asynchronously(port: int) -> tuple[Any, int]:
    async def ask() -> tuple[Any, int]:
        async with connect(f"127.0.0.1:{port}", retry=QUICK) as connection:
            client = AsyncClient("delays", connection)
            return await client.predict([make_flight()]), client.retries

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [_ask, _ask_asynchronously])
@pytest.mark.parametrize("loss", _LOSSES)
def test_a_lost_call_is_repeated(loss: str, ask: Callable[[int], tuple[Any, int]]) -> None:
    with _peer(_LOSSES[loss]) as peer:
        response, retries = ask(peer.port)
    assert response.predictions[0].late_probability == 0.5
    # gRPC itself repeats a call that it knows was not looked at.
    assert peer.asked == 2
    assert retries == 1 or loss == "a server stops before it looks at the call" or loss.endswith("with 7")


@pytest.mark.parametrize("answer", _FINAL)
def test_a_call_that_was_answered_is_not_repeated(answer: str) -> None:
    with _peer(_FINAL[answer]) as peer, pytest.raises(AthanorError):
        _ask(peer.port)
    assert peer.asked == 1
