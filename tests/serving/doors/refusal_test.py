"""Refusals over real connections: a caller that is still sending when it is refused gets its answer."""

import asyncio
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from support.handlers import OpenHandler, open_handler
from support.rest import RestClient

from athanor.serving.answering.core import Core

_PREDICT: Final = "/v1/models/delays:predict"
# More than the buffers of both ends hold: it cannot be sent unless it is read.
_LARGE: Final = bytes(16 * 1024 * 1024)
_TIMEOUT_S: Final = 60.0


@contextmanager
def _serving(opened: OpenHandler) -> Iterator[int]:
    """The doors behind the HTTP server that Serve has; returns its port."""
    server = uvicorn.Server(
        uvicorn.Config(RestClient(opened).app, port=0, lifespan="off", access_log=False, log_config=None)
    )
    started = threading.Event()

    async def serve() -> None:
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0)
        started.set()
        await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert started.wait(_TIMEOUT_S)
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({"insecure": False}, {}, 401),
        ({"max_message_bytes": 100_000}, {}, 413),
        ({}, {"x-request-timeout-s": "0.000001"}, 504),
    ],
    ids=["stranger", "too large", "late"],
)
def test_a_caller_that_sends_all_before_it_reads_gets_its_refusal(
    core: Core, tmp_path: Path, settings: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    with (
        open_handler(core, tmp_path / "service", **settings) as opened,
        _serving(opened) as port,
    ):
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
            connection.request("POST", _PREDICT, _LARGE, headers)
            answer = connection.getresponse()
            assert (answer.status, answer.headers["connection"]) == (status, "close")
            assert answer.read()
            connection.close()
