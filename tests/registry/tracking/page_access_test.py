"""MLflow's pages refuse requests without the token, and a browser keeps it in a cookie."""

import asyncio
from typing import Any, Final

import pytest

from athanor.registry.tracking.page_access import Message, Receive, Send, TokenRequired

_TOKEN: Final = "a-token"  # noqa: S105 - of this test


async def _pages(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"pages"})


def _ask(path: str = "/", query: str = "", method: str = "GET", kind: str = "http", **headers: str) -> list[Message]:
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Any:
        pytest.fail("nothing is read before the token is known")

    asyncio.run(TokenRequired(_pages, _TOKEN)(scope, receive, send))
    return sent


def _cookie() -> str:
    head = _ask(query=f"token={_TOKEN}")[0]
    return str(dict(head["headers"])[b"set-cookie"].decode())


def test_the_first_url_gives_a_cookie_and_leads_to_one_without_the_token() -> None:
    head = _ask(query=f"token={_TOKEN}")[0]
    headers = dict(head["headers"])
    assert (head["status"], headers[b"location"]) == (303, b"/")
    assert b"HttpOnly; SameSite=Lax" in headers[b"set-cookie"]
    assert (headers[b"referrer-policy"], headers[b"cache-control"]) == (b"no-referrer", b"no-store")


def test_the_cookie_opens_every_page() -> None:
    cookie = _cookie().partition(";")[0]
    for method, path in (("GET", "/"), ("POST", "/graphql"), ("GET", "/ajax-api/2.0/mlflow/runs/get")):
        assert _ask(path, method=method, cookie=f"other=1; {cookie}")[0]["status"] == 200


def test_the_header_opens_every_page() -> None:
    assert _ask("/graphql", authorization=f"Bearer {_TOKEN}")[0]["status"] == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/graphql", "/static-files/x", "/api/2.0/mlflow/runs/search", "/healthy", "//"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {_TOKEN}"},
        {"authorization": "Bearer "},
        {"cookie": f"token={_TOKEN}"},
        {"cookie": "athanor_registry="},
        {"x-token": _TOKEN},
    ],
)
def test_without_the_token_nothing_is_answered(method: str, path: str, given: dict[str, str]) -> None:
    head, body = _ask(path, method=method, **given)
    assert head["status"] == 401
    assert b"open the URL that `athanor registry ui` has printed" in body["body"]


@pytest.mark.parametrize("query", ["token=wrong", "token=", "token", "Token=a-token", "token=a-token%00"])
def test_a_wrong_token_in_the_url_gives_no_cookie(query: str) -> None:
    assert _ask(query=query)[0]["status"] == 401


def test_the_token_in_the_url_opens_the_first_page_alone() -> None:
    assert _ask("/graphql", query=f"token={_TOKEN}")[0]["status"] == 401
    assert _ask("/", query=f"token={_TOKEN}", method="POST")[0]["status"] == 401


def test_a_websocket_is_closed() -> None:
    assert _ask(kind="websocket") == [{"type": "websocket.close", "code": 1008, "reason": "no token"}]


def test_health_needs_no_token_to_be_read_alone() -> None:
    assert _ask("/health")[0]["status"] == 200
    assert _ask("/health", method="POST")[0]["status"] == 401
