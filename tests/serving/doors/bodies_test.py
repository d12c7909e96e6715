"""Bodies of REST requests and answers: compressed ones, and those that arrive or are read slowly or never."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from google.protobuf import json_format
from support.flights import make_columns, make_flight
from support.handlers import open_handler
from support.rest import RestClient
from support.tensors import to_json

from athanor.release.files import Release
from athanor.release.store import ReleaseStore
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import make_token
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from athanor.serving.doors import answers as answers_module
from projects.delays.model import MODEL

_PREDICT: Final = "/v1/models/delays:predict"
_BODY: Final = json.dumps({"flights": [json_format.MessageToDict(make_flight())]}).encode()
_POSTS: Final = (
    (_PREDICT, _BODY),
    ("/v1/models/delays:features", _BODY),
    ("/v2/models/delays/infer", json.dumps(to_json(make_columns(3))).encode()),
)
_MOST_BYTES: Final = 200_000


@pytest.fixture
def client(core: Core, tmp_path: Path) -> Iterator[RestClient]:
    with open_handler(core, tmp_path / "service", max_message_bytes=_MOST_BYTES, max_in_flight=6) as opened:
        yield RestClient(opened)


def _raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


_PACKERS: Final[dict[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZIP", gzip.compress),
    "two gzip members": ("gzip", lambda body: gzip.compress(body[:20]) + gzip.compress(body[20:])),
    "deflate": ("deflate", zlib.compress),
    "deflate without zlib's header": ("deflate", _raw_deflate),
    "identity": ("identity", bytes),
}


@pytest.mark.parametrize("how", _PACKERS)
@pytest.mark.parametrize(("path", "body"), _POSTS)
def test_a_compressed_body_is_answered_as_any(client: RestClient, how: str, path: str, body: bytes) -> None:
    encoding, pack = _PACKERS[how]
    headers = {"x-request-id": "mine"}
    expected = client.post(path, content=body, headers=headers)
    found = client.post(path, content=pack(body), headers={**headers, "content-encoding": encoding})
    assert (found.status_code, found.json()) == (200, expected.json())


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "x" * 3_000, "*"])
def test_another_encoding_is_refused_with_those_that_are_read(client: RestClient, encoding: str) -> None:
    response = client.post(_PREDICT, content=_BODY, headers={"content-encoding": encoding})
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip, deflate")
    problem = response.json()
    assert problem["code"] == "UNSUPPORTED_ENCODING"
    assert problem["detail"].startswith("the body has the content-encoding '")
    assert len(problem["detail"]) < 300


@pytest.mark.parametrize(
    ("encoding", "body", "message"),
    [
        ("gzip", _BODY, "the body is not valid gzip: "),
        ("gzip", gzip.compress(_BODY)[:-9], "the body ends within its gzip data"),
        ("gzip", b"", "the body ends within its gzip data"),
        ("gzip", gzip.compress(_BODY) + b"more", "the body is not valid gzip: "),
        ("deflate", zlib.compress(_BODY)[:-5], "the body ends within its deflate data"),
        ("deflate", zlib.compress(_BODY) + b"more", "the body goes on after the end of its deflate data"),
        ("deflate", b"\xff\xff", "the body is not valid deflate: "),
    ],
)
def test_damaged_data_is_refused(client: RestClient, encoding: str, body: bytes, message: str) -> None:
    response = client.post(_PREDICT, content=body, headers={"content-encoding": encoding})
    assert response.status_code == 400
    assert response.json()["detail"].startswith(message)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_body_that_unpacks_to_more_than_allowed_is_refused_before_it_is_unpacked(
    client: RestClient, monkeypatch: pytest.MonkeyPatch, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    reserve, held = client.opened.share.reserve, list[int]()

    def count(size_bytes: int) -> None:
        held.append(size_bytes)
        reserve(size_bytes)

    monkeypatch.setattr(client.opened.share, "reserve", count)
    bomb = pack(b" " * 100_000_000)
    assert len(bomb) < _MOST_BYTES
    response = client.post(_PREDICT, content=bomb, headers={"content-encoding": encoding})
    assert (response.status_code, response.json()["code"]) == (413, "TOO_LARGE")
    assert sum(held) <= _MOST_BYTES
    assert client.opened.held == 0


def test_a_compressed_body_that_unpacks_to_nothing_is_limited_too(client: RestClient) -> None:
    body = gzip.compress(b"") * (_MOST_BYTES // 20 + 1)
    response = client.post(_PREDICT, content=body, headers={"content-encoding": "gzip"})
    assert (response.status_code, response.json()["code"]) == (413, "TOO_LARGE")


class _Stalled:
    """Requests whose bodies stop after their first byte."""

    def __init__(self, client: RestClient, **headers: str) -> None:
        self._client, self._headers = client, headers
        self._goes_on = asyncio.Event()
        self.tasks: list[asyncio.Task[httpx.Response]] = []

    async def send(self, count: int = 1) -> None:
        """Returns once the replica reads them."""
        for _ in range(count):
            began = asyncio.Event()
            ask = self._client.ask("POST", _PREDICT, content=self._body(began), headers=self._headers)
            self.tasks.append(asyncio.create_task(ask))
            await began.wait()

    async def _body(self, began: asyncio.Event) -> AsyncIterator[bytes]:
        yield _BODY[:1]
        began.set()
        await self._goes_on.wait()
        yield _BODY[1:]

    async def finish(self) -> list[int]:
        self._goes_on.set()
        return [(await task).status_code for task in self.tasks]


def test_a_body_that_stalls_is_refused_at_its_deadline(client: RestClient) -> None:
    async def ask() -> httpx.Response:
        stalled = _Stalled(client, **{"x-request-timeout-s": "0.05"})
        await stalled.send()
        return await stalled.tasks[0]

    response = asyncio.run(ask())
    assert (response.status_code, response.json()["code"]) == (504, "DEADLINE_EXCEEDED")
    assert response.json()["detail"].startswith("the deadline passed when 1 bytes of the request had arrived; send it ")
    assert client.opened.held == 0


def test_a_request_is_in_flight_from_its_first_byte(client: RestClient) -> None:
    async def ask() -> tuple[int, list[int], int]:
        stalled = _Stalled(client)
        await stalled.send(3)
        in_flight = client.opened.handler.models.capacity.requests.held
        return in_flight, await stalled.finish(), client.opened.handler.models.capacity.requests.held

    assert asyncio.run(ask()) == (3, [200, 200, 200], 0)


def test_bodies_of_one_caller_that_stall_leave_room_for_others(core: Core, tmp_path: Path) -> None:
    async def ask(client: RestClient, one: str, other: str) -> tuple[Any, int, list[int]]:
        stalled = _Stalled(client, authorization=f"Bearer {one}")
        await stalled.send(3)
        options: dict[str, Any] = {"content": _BODY}
        refused = await client.ask("POST", _PREDICT, headers={"authorization": f"Bearer {one}"}, **options)
        answered = await client.ask("POST", _PREDICT, headers={"authorization": f"Bearer {other}"}, **options)
        return refused, answered.status_code, await stalled.finish()

    with open_handler(core, tmp_path / "service", insecure=False, max_in_flight=6) as opened:
        refused, answered, finished = asyncio.run(ask(RestClient(opened), opened.token, opened.admin))
    assert (refused.status_code, refused.json()["code"]) == (429, "OVERLOADED")
    assert refused.json()["detail"].startswith("3 requests of this caller have not arrived in whole")
    assert (answered, finished) == (200, [200, 200, 200])


async def _answer_large(client: RestClient, take: Callable[[Any], Any], token: str = "") -> None:
    """Asks for an answer of several parts, as a server does that hands each to `take`."""
    body = json.dumps({"flights": [json_format.MessageToDict(make_flight())] * 500}).encode()
    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    scope = {"type": "http", "method": "POST", "path": "/v1/models/delays:features", "query_string": b""}

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    await client.app({**scope, "headers": headers}, receive, take)


@pytest.fixture
def large(store: ReleaseStore, release: Release) -> Core:
    return Core(Loader(MODEL.name, store, max_rows=500))


def test_a_large_answer_is_sent_in_parts_and_whole(large: Core, tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []

    async def take(message: dict[str, Any]) -> None:
        sent.append(message)

    with open_handler(large, tmp_path / "service") as opened:
        asyncio.run(_answer_large(RestClient(opened), take))
        bodies = [message["body"] for message in sent[1:]]
        assert len(bodies) > 2
        assert [message["more_body"] for message in sent[1:]] == [True] * (len(bodies) - 1) + [False]
        assert len(json.loads(b"".join(bodies))["rows"]) == 500
        assert dict(sent[0]["headers"])[b"content-length"] == str(len(b"".join(bodies))).encode()
        assert not opened.handler.unread._bytes


def test_an_answer_that_is_not_read_is_given_up(large: Core, tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []

    async def take(message: dict[str, Any]) -> None:
        sent.append(message)
        if len(sent) > 2:
            await asyncio.Event().wait()

    with open_handler(large, tmp_path / "service", max_deadline_s=1.0) as opened:
        asyncio.run(_answer_large(RestClient(opened), take))
        assert len(sent) == 3
        assert not opened.handler.unread._bytes


def test_a_caller_that_reads_no_answer_gets_no_more_and_others_do(
    large: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_module, "_MOST_UNREAD_BYTES", 300_000)

    async def ask(client: RestClient, one: str, other: str) -> list[int]:
        statuses: list[int] = []
        reads_on, stalls = asyncio.Event(), asyncio.Event()

        async def take(message: dict[str, Any]) -> None:
            if "status" in message:
                statuses.append(message["status"])
            elif not stalls.is_set():
                stalls.set()
                await reads_on.wait()

        first = asyncio.create_task(_answer_large(client, take, one))
        await stalls.wait()
        await _answer_large(client, take, one)
        await _answer_large(client, take, other)
        reads_on.set()
        await first
        await _answer_large(client, take, one)
        return statuses

    with open_handler(large, tmp_path / "service", insecure=False) as opened:
        # Features need the scope `admin`.
        other = make_token(opened.tokens_path, "other", Scope.ADMIN)
        assert asyncio.run(ask(RestClient(opened), opened.admin, other)) == [200, 429, 200, 200]
