"""Access to MLflow's pages: by a token that each start makes, in the first URL and then in a cookie.

Other users of this machine reach the port too. The token is in no command line, which they could read.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

_HEALTH: Final = "/health"
_REFUSAL: Final = (
    b"These pages need their token: open the URL that `athanor registry ui` has printed, or send the header "
    b"authorization: Bearer TOKEN.\n"
)


class TokenRequired:
    """An ASGI application that passes only requests with the token to another one; all may ask for its health."""

    def __init__(self, app: Asgi, token: str) -> None:
        self._app = app
        self._token = token.encode()
        # Browsers send cookies of one host to all its ports: each start has its own.
        self._cookie = b"athanor_registry_" + hashlib.sha256(self._token).hexdigest()[:8].encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_allowed(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "no token"})
        elif scope["method"] == "GET" and scope["path"] == "/" and self._is_right(_from_query(scope)):
            cookie = self._cookie + b"=" + self._token + b"; HttpOnly; SameSite=Lax; Path=/"
            await _answer(send, HTTPStatus.SEE_OTHER, b"", [(b"location", b"/"), (b"set-cookie", cookie)])
        else:
            headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain; charset=utf-8")]
            await _answer(send, HTTPStatus.UNAUTHORIZED, _REFUSAL, headers)

    def _is_allowed(self, scope: Message) -> bool:
        if scope["type"] == "http" and (scope["method"], scope["path"]) == ("GET", _HEALTH):
            return True
        given = [self._read(name, value) for name, value in scope["headers"]]
        return any(self._is_right(token) for token in given)

    def _read(self, name: bytes, value: bytes) -> bytes:
        """The token in a header; empty if it has none."""
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
        if name == b"cookie":
            pairs = (part.strip().partition(b"=") for part in value.split(b";"))
            return next((content for key, _, content in pairs if key == self._cookie), b"")
        return b""

    def _is_right(self, token: bytes) -> bool:
        return hmac.compare_digest(token, self._token)


def _from_query(scope: Message) -> bytes:
    query: bytes = scope["query_string"]
    return parse_qs(query).get(b"token", [b""])[0]


async def _answer(send: Send, status: HTTPStatus, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    always = [
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        # The URL has the token.
        (b"referrer-policy", b"no-referrer"),
    ]
    await send({"type": "http.response.start", "status": status.value, "headers": [*headers, *always]})
    await send({"type": "http.response.body", "body": body})
