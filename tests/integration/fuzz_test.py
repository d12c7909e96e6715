"""No request, however formed, makes a door fail, or a replica end, grow or answer anybody else wrongly."""

import asyncio
import io
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from integration import door_requests, doors
from integration.doors import METHODS, PATHS
from integration.message_mutations import mutate_message
from integration.mutations import mutate_bytes, mutate_json
from integration.service import Service
from integration.storm import Record, Request, Send, storm
from support.processes import Process

from delays.v1 import delays_pb2

Flights = list[delays_pb2.Flight]

_REQUESTS: Final = 20_000
_OF_HEADERS: Final = 3_000
# Among the wrong ones, so that what one leaves behind is seen in the next.
_EVERY_GOOD: Final = 100
_AT_ONCE: Final = 48
_TIMEOUT_S: Final = 120.0
_GROWTH_BYTES: Final = 100 * 2**20
_GRPC_ALLOWED: Final = ("OK", "INVALID_ARGUMENT", "NOT_FOUND")
_REST_ALLOWED: Final = ("200", "400", "404", "413")
_JSON_LENGTH: Final = "inference-header-content-length"
# Headers that the client would add.
_AUTOMATIC: Final = ("accept", "accept-encoding", "content-type", "user-agent")


@dataclass(frozen=True)
class _Replica:
    """The process that answers.

    Attributes:
        memory: its resident bytes.
    """

    process: Process
    memory: int

    @classmethod
    def find(cls, service: Service) -> "_Replica":
        (status,) = service.replicas
        (process,) = (found for found in service.find_processes("ServeReplica") if found.pid == status.pid)
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        return cls(process, pages * 4096)


def _find_change(before: _Replica, after: _Replica) -> str:
    """In words; empty where the replica is what it was."""
    if after.process != before.process:
        return f"{before.process} ended; {after.process} answers"
    grown = after.memory - before.memory
    return f"it has grown by {grown} bytes" if grown > _GROWTH_BYTES else ""


@pytest.fixture(autouse=True)
def _the_replica_stays_and_does_not_grow(service: Service) -> Iterator[None]:
    before = _Replica.find(service)
    yield
    assert _find_change(before, _Replica.find(service)) == ""


@asynccontextmanager
async def _open_grpc(
    service: Service, door: str, read: Callable[[bytes], tuple[list[float], Any]], expected: list[float]
) -> AsyncIterator[Send]:
    async with grpc.aio.insecure_channel(service.grpc) as channel:
        ask: Any = channel.unary_unary(METHODS[door], None, None)
        authorization = service.authorization

        async def send(request: Request) -> str:
            headers = request.headers or (authorization,)
            try:
                answer = await ask(request.content, timeout=_TIMEOUT_S, metadata=headers)
            except grpc.aio.AioRpcError as error:
                return error.code().name if error.code() is not grpc.StatusCode.OK else "OK"
            return _judge(request, "OK", lambda: read(answer)[0], expected)

        yield send


@asynccontextmanager
async def _open_rest(
    service: Service, door: str, read: Callable[[Any], list[float]], expected: list[float]
) -> AsyncIterator[Send]:
    url = f"http://{service.http}{PATHS[door]}"
    timeout = aiohttp.ClientTimeout(_TIMEOUT_S)
    # Several times as fast as httpx, which most of the test's time would go to.
    async with aiohttp.ClientSession(timeout=timeout, skip_auto_headers=_AUTOMATIC) as client:
        authorization = service.authorization

        async def send(request: Request) -> str:
            # In their order, so that nothing is put right on the way.
            headers = [(_to_text(name), _to_text(value)) for name, value in request.headers or (authorization,)]
            async with client.post(url, data=io.BytesIO(request.content), headers=headers) as response:
                content = await response.read()
            return _judge(request, str(response.status), lambda: read(json.loads(content)), expected)

        yield send


def _to_text(word: str | bytes) -> str:
    return word if isinstance(word, str) else word.decode()


def _judge(request: Request, told: str, read: Callable[[], list[float]], expected: list[float]) -> str:
    if request.is_good and (told not in ("OK", "200") or read() != expected):
        return f"{told} and wrong"
    return told


def _mutate(count: int, good: Request, mutations: list[Callable[[random.Random], Request]]) -> Iterator[Request]:
    """Mutations in turn, each at random, with a good request between them now and then."""
    for number in range(count):
        if number % _EVERY_GOOD == 0:
            yield good
        # Its own seed, so that one request can be made again by its number.
        yield mutations[number % len(mutations)](random.Random(number))  # noqa: S311 - it is to be predictable


def _of_messages(*messages: Message) -> list[Callable[[random.Random], Request]]:
    """Mutations of bytes and of fields."""
    contents: list[tuple[bytes, Any]] = [(message.SerializeToString(), message.DESCRIPTOR) for message in messages]
    return [
        lambda draw: Request(mutate_bytes(draw, draw.choice(contents)[0])),
        lambda draw: Request(mutate_message(draw, *draw.choice(contents))),
    ]


def _of_texts(*texts: str) -> list[Callable[[random.Random], Request]]:
    return [
        lambda draw: Request(mutate_bytes(draw, draw.choice(texts).encode())),
        lambda draw: Request(mutate_json(draw, draw.choice(texts))),
    ]


def _check(record: Record, count: int, accepted: str, refused: str) -> None:
    assert record.describe() == ""
    assert record.kinds.total() >= count
    # Neither did all fail at the first byte, nor did nothing go wrong.
    assert record.kinds[accepted] > count / 50
    assert record.kinds[refused] > count / 10


def _tell(door: str, record: Record, began: float) -> None:
    # What came of it is of interest when all is well.
    print(f"{door}: {dict(record.kinds)} in {time.monotonic() - began:.1f} s")  # noqa: T201


@pytest.mark.parametrize("door", METHODS)
def test_no_mutated_message_makes_a_grpc_door_fail(
    service: Service, flights: Flights, reference: dict[str, Any], door: str
) -> None:
    made: dict[str, tuple[list[Callable[[Any], Message]], Any]] = {
        "grpc": ([door_requests.typed_message], doors.read_typed),
        "inspection": ([door_requests.inspection_message], doors.read_inspection),
        "oip-grpc": ([door_requests.inference_message, door_requests.raw_inference_message], doors.read_inference),
    }
    make, read = made[door]
    some = [flights[:1], flights[1:3], flights[3:6]]
    mutations = _of_messages(*(each(rows) for each in make for rows in some))
    good = Request(make[0](flights[:2]).SerializeToString(), is_good=True)
    began = time.monotonic()

    async def run() -> Record:
        async with _open_grpc(service, door, read, _expected(service, flights)) as send:
            return await storm(send, _mutate(_REQUESTS, good, mutations), _GRPC_ALLOWED, _AT_ONCE)

    record = asyncio.run(run())
    _tell(door, record, began)
    _check(record, _REQUESTS, "OK", "INVALID_ARGUMENT")


def _expected(service: Service, flights: Flights) -> list[float]:
    opened = doors.Doors.open(service)
    try:
        told = opened.typed(flights[:2])
    finally:
        opened.close()
    assert isinstance(told, doors.Told)
    return told.probabilities


@pytest.mark.parametrize("door", ["rest", "oip-rest"])
def test_no_mutated_body_makes_a_rest_door_fail(service: Service, flights: Flights, door: str) -> None:
    some = [flights[:1], flights[1:3], flights[3:6]]
    if door == "rest":
        make, read = door_requests.typed_json, _read_typed
        mutations = _of_texts(*map(make, some))
    else:
        make, read = door_requests.inference_json, _read_inference
        mutations = [*_of_texts(*map(make, some)), _of_binary(service, some)]
    good = Request(make(flights[:2]).encode(), is_good=True)
    began = time.monotonic()

    async def run() -> Record:
        async with _open_rest(service, door, read, _expected(service, flights)) as send:
            return await storm(send, _mutate(_REQUESTS, good, mutations), _REST_ALLOWED, _AT_ONCE)

    record = asyncio.run(run())
    _tell(door, record, began)
    _check(record, _REQUESTS, "200", "400")


def _read_typed(told: Any) -> list[float]:
    return [each["lateProbability"] for each in told["predictions"]]


def _read_inference(told: Any) -> list[float]:
    found: list[float] = told["outputs"][0]["data"]
    return found


def _of_binary(service: Service, some: list[Flights]) -> Callable[[random.Random], Request]:
    """Mutations of tensors behind JSON, and of where the JSON ends."""
    bodies = list(map(door_requests.binary_inference_json, some))
    authorization = service.authorization

    def mutate(draw: random.Random) -> Request:
        body, length = draw.choice(bodies)
        told = draw.choice((str(length), str(length), str(length), str(length + 1), "0", "-1", "1e3", "9" * 30, "٣"))
        text, binary = body[:length], body[length:]
        changed = draw.choice((mutate_bytes(draw, text), text)) + draw.choice((mutate_bytes(draw, binary), binary))
        return Request(changed, headers=(authorization, (_JSON_LENGTH.encode(), told.encode())))

    return mutate


_HOSTILE_VALUES: Final = (
    *("", "x", "0", "-1", "x" * 128, "x" * 129, "x" * 3_000, "Bearer", "Bearer x y", "bearer x", "Basic eDp4"),
    *("%s%n%x", "'\"<script>", "../../etc/passwd", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "00-zz-zz-01", "9" * 400),
    *("00-" + "f" * 32 + "-" + "f" * 16 + "-ff", "ff-" + "a" * 32 + "-" + "b" * 16 + "-01-more", ",", "a, b", "1e400"),
)
_NAMES: Final = ("x-request-id", "x-athanor-sticky-key", "traceparent", "tracestate", "authorization", "baggage")


def _of_headers(service: Service, names: tuple[str, ...], content: bytes) -> Iterator[Request]:
    for number in range(_OF_HEADERS):
        draw = random.Random(number)  # noqa: S311 - it is to be predictable
        given = [(draw.choice(names), draw.choice(_HOSTILE_VALUES)) for _ in range(draw.randint(1, 6))]
        if draw.random() < 0.9:
            given.insert(draw.randint(0, len(given)), service.authorization)
        yield Request(content, headers=tuple(given))


def test_no_metadata_makes_a_grpc_door_fail(service: Service, flights: Flights) -> None:
    names = (*_NAMES, "request_id", "application", "multiplexed_model_id", "x-more-bin", "cookie")
    content = door_requests.typed_message(flights[:2]).SerializeToString()
    requests = (
        Request(
            request.content,
            headers=tuple(
                (name, value.encode() if str(name).endswith("-bin") else value)  # type: ignore[union-attr]
                for name, value in request.headers
            ),
        )
        for request in _of_headers(service, names, content)
    )
    # gRPC itself refuses more than some KiB.
    allowed = ("OK", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED")
    began = time.monotonic()

    async def run() -> Record:
        async with _open_grpc(service, "grpc", doors.read_typed, []) as send:
            return await storm(send, requests, allowed, _AT_ONCE)

    record = asyncio.run(run())
    _tell("metadata", record, began)
    _check(record, _OF_HEADERS, "OK", "UNAUTHENTICATED")


def test_no_header_makes_a_rest_door_fail(service: Service, flights: Flights) -> None:
    names = (
        *_NAMES,
        *("content-type", "accept", "accept-encoding", "content-encoding", "cookie", "x-request-timeout-s", "expect"),
        *(_JSON_LENGTH, "x-forwarded-for", "serve_multiplexed_model_id", "x-request-timeout-seconds"),
    )
    content = door_requests.typed_json(flights[:2]).encode()
    # HAProxy refuses a head of more than some KiB.
    allowed = ("200", "400", "401", "415", "431", "504")
    began = time.monotonic()

    async def run() -> Record:
        async with _open_rest(service, "rest", _read_typed, []) as send:
            return await storm(send, _of_headers(service, names, content), allowed, _AT_ONCE)

    record = asyncio.run(run())
    _tell("headers", record, began)
    _check(record, _OF_HEADERS, "200", "401")


@pytest.mark.parametrize("planted", ["INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED", "OK and wrong"])
def test_one_outcome_among_many_that_may_not_be_is_told_with_its_request(planted: str) -> None:
    async def send(request: Request) -> str:
        return planted if request.content == b"777" else "OK"

    record = asyncio.run(storm(send, (Request(b"%d" % number) for number in range(1_000)), _GRPC_ALLOWED, 8))
    assert record.kinds == {"OK": 999, planted: 1}
    assert record.describe().startswith(f"{planted} (1 times), as of 3 bytes b'777'")
    with pytest.raises(AssertionError):
        _check(record, 1_000, "OK", "INVALID_ARGUMENT")


def test_an_answer_that_never_came_is_told() -> None:
    async def send(request: Request) -> str:
        raise aiohttp.ServerDisconnectedError("the other side hung up")

    record = asyncio.run(storm(send, [Request(b"x")], _REST_ALLOWED, 1))
    assert record.describe().startswith("ServerDisconnectedError: the other side hung up (1 times)")


def test_a_good_request_with_another_number_is_told() -> None:
    good = Request(b"", is_good=True)
    assert _judge(good, "OK", lambda: [0.5], [0.5]) == "OK"
    assert _judge(good, "OK", lambda: [0.5], [0.25]) == "OK and wrong"
    assert _judge(good, "INVALID_ARGUMENT", list, [0.25]) == "INVALID_ARGUMENT and wrong"


def test_a_replica_that_was_replaced_or_has_grown_is_told() -> None:
    before = _Replica(Process(2, 1, session=1, started=100, command="ray::ServeReplica"), 2**28)
    assert _find_change(before, replace(before, memory=before.memory + _GROWTH_BYTES)) == ""
    assert _find_change(before, replace(before, memory=before.memory + _GROWTH_BYTES + 1)).startswith("it has grown by")
    # Numbers of processes occur again.
    another = replace(before, process=replace(before.process, started=200))
    assert "ended" in _find_change(before, another)
