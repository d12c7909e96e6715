"""Calls of strangers and of heavy callers: nothing is read before the token, and what each holds is bounded."""

import gc
import gzip
import re
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from support.grpc_server import (
    ALIVE,
    FEATURES,
    HEALTH,
    METADATA,
    OIP,
    PREDICT,
    QUESTIONS,
    REFLECTIONS,
    REQUEST,
    GrpcServer,
)
from support.handlers import OpenHandler, open_handler
from support.http2 import Caller, message

from athanor.errors import InvalidRequestError
from athanor.serving.answering.core import Core
from athanor.serving.doors import grpc as grpc_doors
from athanor.serving.doors import health, incoming, reflection
from athanor.serving.doors.shares import Shares
from athanor.serving.doors.unpacking import unpack
from athanor.serving.formats import typed
from delays.v1 import delays_pb2
from grpc_health.v1 import health_pb2

_CONTENT: Final = message(REQUEST.SerializeToString())
_WATCH: Final = "/grpc.health.v1.Health/Watch"
_MOST_BYTES: Final = 16 * 1024 * 1024
# The length of a message of 16 MiB, and its first KiB.
_BEGINNING: Final = message(bytes(_MOST_BYTES))[:1024]


@pytest.fixture
def guarded(core: Core, tmp_path: Path, closed: GrpcServer) -> Iterator[OpenHandler]:
    with open_handler(core, tmp_path / "guarded", insecure=False, max_message_bytes=_MOST_BYTES) as opened:
        closed.open(opened)
        yield opened


@pytest.fixture
def caller(closed: GrpcServer) -> Iterator[Caller]:
    with Caller(closed.port) as caller:
        yield caller


def _bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


def _transit() -> incoming.Transit:
    return grpc_doors._open[0]._transit


def _wait_until_nothing_is_held(opened: OpenHandler, closed: GrpcServer) -> None:
    """A caller may read its answer before the replica knows of that."""

    async def held() -> int:
        transit = _transit()
        return (
            opened.handler.models.capacity.bytes.held
            + transit.slow.total
            + transit.unread.total
            + incoming._STRANGERS.unread.total
        )

    until = time.monotonic() + 60
    while closed.run(held()):
        assert time.monotonic() < until


_REFLECTIONS: Final = [f"/{service}/ServerReflectionInfo" for service in REFLECTIONS]


@pytest.mark.parametrize("method", [method for method, _ in (*QUESTIONS, *METADATA)] + _REFLECTIONS)
@pytest.mark.parametrize("sent", [b"", _BEGINNING])
def test_a_stranger_is_refused_before_its_message_is_read(
    guarded: OpenHandler, caller: Caller, method: str, sent: bytes
) -> None:
    streams = [caller.open(method, *extra) for extra in ((), (_bearer("athn_x"),), (("grpc-encoding", "gzip"),))]
    for stream in streams:
        caller.send(stream, sent)
    for last in caller.wait(*streams).values():
        assert b"send a token of this service" in last
    assert _transit().slow.total == _transit().unread.total == 0


@pytest.mark.parametrize("method", [method for method, _ in (*QUESTIONS, *METADATA, *ALIVE)] + [HEALTH, _WATCH])
def test_a_call_that_ends_without_a_message_is_answered(guarded: OpenHandler, caller: Caller, method: str) -> None:
    stream = caller.open(method, _bearer(guarded.admin))
    caller.send(stream, b"", end=True)
    assert b"the call ended without a message" in caller.wait(stream)[stream]


def test_a_message_that_stalls_is_refused_at_the_deadline_and_counted(
    guarded: OpenHandler, caller: Caller, closed: GrpcServer
) -> None:
    head = (_bearer(guarded.token), ("x-request-timeout-s", "0.3"))
    streams = [caller.open(PREDICT, *head) for _ in range(2)]
    caller.send(streams[0], _BEGINNING)
    for last in caller.wait(*streams).values():
        assert b"the message did not arrive before the deadline" in last
    _wait_until_nothing_is_held(guarded, closed)
    assert _count_requests(guarded) == {"DEADLINE_EXCEEDED": 2}


def test_slow_messages_of_a_caller_leave_room_for_others(
    guarded: OpenHandler, caller: Caller, closed: GrpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_doors, "_SLOW_BYTES", 5 * _MOST_BYTES)
    closed.open(guarded)
    # However its header is written, a token is one caller.
    heads = [
        ("authorization", f"{scheme}{guarded.token}") for scheme in ("Bearer ", "bearer ", "BEARER  ", "Bearer   ")
    ]
    streams = [caller.open(PREDICT, head, ("x-request-timeout-s", "2")) for head in heads * 5]
    for stream in streams:
        caller.send(stream, _BEGINNING)
    late = caller.wait(*streams)
    refused = [stream for stream in streams if b"messages that are slow to arrive take" in late[stream]]
    assert len(refused) == 17
    assert all(b"did not arrive" in late[stream] for stream in streams if stream not in refused)
    assert 'code="OVERLOADED"' in guarded.metrics()


def test_a_caller_with_prompt_messages_is_answered_beside_one_with_slow_ones(
    guarded: OpenHandler, caller: Caller, closed: GrpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_doors, "_SLOW_BYTES", 1)
    closed.open(guarded)
    for _ in range(2):
        caller.send(caller.open(PREDICT, _bearer(guarded.token)), _BEGINNING)
    for token in (guarded.token, guarded.admin):
        assert closed.call(PREDICT, REQUEST, metadata=(_bearer(token),))


@pytest.mark.parametrize("method", _REFLECTIONS)
def test_a_stream_of_reflection_that_asks_nothing_ends(
    guarded: OpenHandler, caller: Caller, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(reflection, "_IDLE_S", 0.2)
    stream = caller.open(method, _bearer(guarded.token))
    assert b"the message did not arrive before the deadline" in caller.wait(stream)[stream]


class _Kept:
    """Stands for a message in the frames of an error."""


def test_a_refused_message_does_not_wait_for_the_garbage_collector(
    guarded: OpenHandler, closed: GrpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(core: Core, content: bytes) -> None:
        kept = _Kept()
        references.append(weakref.ref(kept))
        raise InvalidRequestError("it is no message")

    references: list[weakref.ref[_Kept]] = []
    monkeypatch.setattr(typed, "parse", parse)
    gc.disable()
    try:
        with pytest.raises(grpc.RpcError, match="it is no message"):
            closed.call(PREDICT, REQUEST, metadata=(_bearer(guarded.token),))
        _wait_until_nothing_is_held(guarded, closed)
        until = time.monotonic() + 10
        while references[0]() is not None:
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        gc.enable()


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize(("method", "request_"), QUESTIONS)
def test_compressed_requests_are_answered(
    guarded: OpenHandler, closed: GrpcServer, method: str, request_: Any, compression: Any
) -> None:
    answers = [
        closed.call(method, request_, metadata=(_bearer(guarded.admin), ("x-request-id", "same")), **options)[0]
        for options in ({}, {"compression": compression})
    ]
    assert answers[0] == answers[1]
    large = delays_pb2.PredictRequest(flights=REQUEST.flights[:1] * 40)
    assert closed.call(PREDICT, large, metadata=(_bearer(guarded.token),), compression=compression)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_compressed_request_has_the_limit_of_what_it_unpacks_to(
    guarded: OpenHandler, closed: GrpcServer, compression: Any
) -> None:
    head = (_bearer(guarded.token),)
    for size, words in ((_MOST_BYTES, "not a valid"), (_MOST_BYTES + 1, f"more than {_MOST_BYTES} bytes")):
        with pytest.raises(grpc.RpcError) as caught:
            closed.call(PREDICT, b"\xff" * size, metadata=head, compression=compression)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert words in error.details()
    assert guarded.held == 0


def test_a_damaged_compressed_request_is_refused(guarded: OpenHandler, caller: Caller) -> None:
    packed = gzip.compress(REQUEST.SerializeToString())
    for content, words in ((packed[:-1], b"is cut off"), (packed[:-8] + bytes(8), b"cannot be unpacked")):
        stream = caller.open(PREDICT, _bearer(guarded.token), ("grpc-encoding", "gzip"))
        caller.send(stream, message(content, is_compressed=True), end=True)
        assert words in caller.wait(stream)[stream]


def test_grpc_unpacks_nothing_before_there_is_room(
    guarded: OpenHandler, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def see(content: bytes, receive: Callable[[int], None]) -> bytes:
        seen.append(content)
        return await unpack(content, receive)

    seen: list[bytes] = []
    monkeypatch.setattr(incoming, "unpack", see)
    packed = gzip.compress(b"\xff" * (_MOST_BYTES // 2))
    stream = caller.open(PREDICT, _bearer(guarded.token), ("grpc-encoding", "gzip"))
    caller.send(stream, message(packed, is_compressed=True), end=True)
    assert b"not a valid" in caller.wait(stream)[stream]
    assert seen == [packed]


def test_answers_that_are_not_read_are_bounded_for_each_caller(
    guarded: OpenHandler, closed: GrpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_doors, "_UNREAD_BYTES", 200_000)
    closed.open(guarded)
    with Caller(closed.port, window=0) as caller:
        streams = [caller.open(PREDICT, _bearer(guarded.token)) for _ in range(20)]
        for stream in streams:
            caller.send(stream, _CONTENT, end=True)
        # Five are answered, and never read; a refusal is in the head of an answer, for which there is always room.
        refused = streams[5:]
        for last in caller.wait(*refused).values():
            assert b"answers that are not read take" in last
        assert 90_000 < _transit().unread.total <= 100_000
        assert closed.call(PREDICT, REQUEST, metadata=(_bearer(guarded.admin),))
        with pytest.raises(grpc.RpcError) as caught:
            closed.call(PREDICT, REQUEST, metadata=(_bearer(guarded.token),))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert 'code="OVERLOADED"' in guarded.metrics()


def test_what_is_read_is_not_held(guarded: OpenHandler, closed: GrpcServer) -> None:
    for _ in range(3):
        closed.call(PREDICT, REQUEST, metadata=(_bearer(guarded.token),))
    assert closed.call(HEALTH, health_pb2.HealthCheckRequest())
    _wait_until_nothing_is_held(guarded, closed)


@pytest.mark.parametrize("method", [HEALTH, *(method for method, _ in ALIVE)])
def test_a_message_of_a_stranger_is_small(guarded: OpenHandler, caller: Caller, method: str) -> None:
    large = caller.open(method)
    caller.send(large, message(bytes(4_097)), end=True)
    packed = caller.open(method, ("grpc-encoding", "gzip"))
    caller.send(packed, message(gzip.compress(bytes(10**6)), is_compressed=True), end=True)
    for last in caller.wait(large, packed).values():
        assert b"the request has more than 4096 bytes" in last


def test_one_slow_message_of_strangers_has_room_at_a_time(
    guarded: OpenHandler, caller: Caller, closed: GrpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "SMALL_S", 1.0)
    streams = [caller.open(method) for method in (HEALTH, _WATCH, f"{OIP}ServerLive") * 3]
    for stream in streams:
        caller.send(stream, _BEGINNING)
    words = list(caller.wait(*streams).values())
    assert sum(b"messages that are slow to arrive take" in last for last in words) == len(streams) - 1
    assert sum(b"did not arrive" in last for last in words) == 1
    assert closed.call(HEALTH, health_pb2.HealthCheckRequest())


def test_watches_are_bounded_and_leave_room_for_checks(
    guarded: OpenHandler, caller: Caller, closed: GrpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_WATCHES", Shares(200_000, "calls of Watch"))
    streams = [caller.open(_WATCH) for _ in range(10)]
    for stream in streams:
        caller.send(stream, message(b""), end=True)
    for last in caller.wait(*streams[5:]).values():
        assert b"calls of Watch take" in last
    assert closed.call(HEALTH, health_pb2.HealthCheckRequest())


def test_thousands_of_requests_at_once_are_answered_or_refused_in_words_and_counted(
    closed: GrpcServer, core: Core, tmp_path: Path
) -> None:
    with open_handler(core, tmp_path / "service", max_in_flight=16) as opened:
        closed.open(opened)
        outcomes: Counter[str] = Counter()
        ask: Any = closed.channel.unary_unary(PREDICT, None, None)
        calls = [ask.future(REQUEST.SerializeToString(), timeout=120) for _ in range(3_000)]
        for call in calls:
            code, details = call.code(), call.details()
            assert code in {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}, (code, details)
            assert code is grpc.StatusCode.OK or "retry later" in details
            outcomes["OK" if code is grpc.StatusCode.OK else "OVERLOADED"] += 1
        assert _count_requests(opened) == outcomes


def _count_requests(opened: OpenHandler) -> Counter[str]:
    """By code, as the metrics have them."""
    counted: Counter[str] = Counter()
    for line in opened.metrics().splitlines():
        if found := re.match(r'athanor_requests_total\{.*code="(\w+)".*\} (\S+)', line):
            counted[found[1]] += round(float(found[2]))
    return counted


def test_a_head_of_many_bytes_is_accepted(guarded: OpenHandler, closed: GrpcServer) -> None:
    for _ in range(20):
        closed.call(PREDICT, REQUEST, metadata=(_bearer(guarded.token), ("x-padding", "x" * 14_000)))


def test_features_are_guarded_too(guarded: OpenHandler, caller: Caller) -> None:
    stream = caller.open(FEATURES)
    caller.send(stream, message(gzip.compress(bytes(10**6)), is_compressed=True), end=True)
    assert b"send a token of this service" in caller.wait(stream)[stream]
