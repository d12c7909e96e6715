"""Large REST answers, which a caller may take slowly or never: their memory is bounded by caller, and in time."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from athanor.errors import OverloadedError

# The server hands on as much at once to the operating system, more or less, and keeps the rest.
_PART_BYTES: Final = 64 * 1024
# Two dozen of the largest answers with features.
_MOST_UNREAD_BYTES: Final = 128 * 1024 * 1024


class UnreadAnswers:
    """The bytes of large answers that their callers have not taken yet."""

    def __init__(self) -> None:
        self._bytes: Counter[str] = Counter()

    @contextmanager
    def hold(self, caller: str, size_bytes: int) -> Iterator[None]:
        """Counts an answer within the block. Raises OverloadedError if the caller leaves too much unread."""
        held = self._bytes[caller]
        if held and held + size_bytes > _MOST_UNREAD_BYTES:
            raise OverloadedError(
                f"this caller has not read {held} bytes of its answers; with {size_bytes} more it would pass its limit"
                f" of {_MOST_UNREAD_BYTES}; read them, or retry later"
            )
        self._bytes[caller] += size_bytes
        try:
            yield
        finally:
            self._bytes[caller] -= size_bytes
            if not self._bytes[caller]:
                del self._bytes[caller]

    def respond(
        self, content: str | bytes, media_type: str, headers: Mapping[str, str], caller: str, timeout_s: float
    ) -> Response:
        """An answer; a large one ends unfinished if its caller takes nothing for `timeout_s`."""
        body = content.encode() if isinstance(content, str) else content
        if len(body) <= _PART_BYTES:
            return Response(body, 200, headers, media_type)
        return _LargeResponse(self, body, media_type, headers, caller, timeout_s)


class _LargeResponse(Response):
    """Sends its body in parts: the server lets the next one wait until the caller has taken the last."""

    def __init__(
        self,
        unread: UnreadAnswers,
        body: bytes,
        media_type: str,
        headers: Mapping[str, str],
        caller: str,
        timeout_s: float,
    ) -> None:
        super().__init__(body, 200, headers, media_type)
        self._unread = unread
        self._caller = caller
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = len(self.body)
        with self._unread.hold(self._caller, size):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for at in range(0, size, _PART_BYTES):
                part = bytes(self.body[at : at + _PART_BYTES])
                message = {"type": "http.response.body", "body": part, "more_body": at + _PART_BYTES < size}
                try:
                    await asyncio.wait_for(send(message), self._timeout_s)
                except TimeoutError:
                    # The server closes the connection of an answer that is not finished.
                    return
