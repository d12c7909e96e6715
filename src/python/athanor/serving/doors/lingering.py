"""Refusals of REST requests whose body is not read to its end: the connection closes, but not over an unread body.

TCP resets a connection that is closed with unread bytes, and a caller that sends all before it reads, as most libraries
do, would lose the refusal.
"""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

# Discards what a refused caller still sends for so long. One that sends on after that may lose the refusal.
_LINGER_S: Final = 2.0


class LingeringResponse(Response):
    """A complete response, after which the rest of the request is thrown away for a while; then the connection ends."""

    def __init__(self, request: Request, content: str, status: int, headers: dict[str, str], media_type: str) -> None:
        super().__init__(content, status, {**headers, "connection": "close"}, media_type)
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})
        # A body that was read to its end cannot be read again.
        with suppress(TimeoutError, ClientDisconnect, RuntimeError):
            async with asyncio.timeout(_LINGER_S):
                async for _ in self._request.stream():
                    pass
        await send({"type": "http.response.body", "body": b""})
