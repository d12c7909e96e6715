"""MLflow's pages without the right to write: what they show was recorded by Athanor, and only Athanor changes it.

Requests that change something are refused before MLflow sees them. Its connection to the database is read-only as well,
for requests that look like reading.
"""

import json
import os
import re
import sys
import warnings
from typing import Final, cast

import uvicorn

from athanor.registry.tracking.page_access import Asgi, Message, Receive, Send, TokenRequired

# Variables: the URL of the database and of the artifacts, and the token.
DATABASE: Final = "ATHANOR_PAGES_DATABASE_URL"
ARTIFACTS: Final = "ATHANOR_PAGES_ARTIFACTS_URL"
TOKEN: Final = "ATHANOR_PAGES_TOKEN"  # noqa: S105 - the name of the variable

_READING: Final = ("GET", "HEAD", "OPTIONS")
# What the pages ask by POST because the question is long.
_QUESTIONS: Final = re.compile(
    r"/(ajax-)?api/[23]\.0/mlflow/("
    r"runs/search|experiments/search|experiments/search-datasets|logged-models/search"
    r"|registered-models/get-latest-versions|datasets/search|issues/search"
    r"|traces/(search|metrics|batchGetInfos|calculate-filter-correlation))"
)
_GRAPHQL: Final = "/graphql"
# Reading these makes MLflow call another server, or run a program.
_ACTING: Final = re.compile(r"/gateway-proxy|/assistant\b")
_REFUSAL: Final = (
    "these pages are read-only. Change versions and traffic with `athanor registry promote`, `rollback`, `challenge`, "
    "`shadow`, `withdraw`, `pin` and `unpin`"
)
# The pages for trained models; by default, MLflow opens those for language models.
_CLASSIC: Final = b"""<script>localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"')</script></head>"""
# Browsers connect to this server alone: no use is reported, and nothing is fetched.
_POLICY: Final = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:"
_CACHING: Final = (b"etag", b"last-modified", b"content-length")


class ReadOnly:
    """An ASGI application that passes only requests that read to another one."""

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "read-only"})
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].rstrip("/") == _GRAPHQL:
            await self._pass_query(scope, receive, send)
        elif not _is_reading(scope["method"], scope["path"]):
            await _refuse(send)
        elif scope["path"] == "/":
            await self._pass_index(scope, receive, send)
        else:
            await self._app(scope, receive, _with_policy(send))

    async def _pass_query(self, scope: Message, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        if not _is_query(body):
            await _refuse(send)
            return

        async def receive_again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_again, _with_policy(send))

    async def _pass_index(self, scope: Message, receive: Receive, send: Send) -> None:
        """The page itself, in its classic mode."""
        # Unconditionally: the browser may have it from another server.
        asked = [(name, value) for name, value in scope["headers"] if not name.startswith(b"if-")]
        started: Message = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                started.update(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                page = body.replace(b"</head>", _CLASSIC, 1)
                kept = [(name, value) for name, value in started["headers"] if name.lower() not in _CACHING]
                # A HEAD has no body, but the length of the page's.
                length = [(b"content-length", str(len(page)).encode())] if page else []
                await _with_policy(send)({**started, "headers": [*kept, *length]})
                await send({"type": "http.response.body", "body": page})

        await self._app({**scope, "headers": asked}, receive, collect)


async def _read(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _is_reading(method: str, path: str) -> bool:
    if method in _READING:
        return _ACTING.search(path) is None
    return method == "POST" and _QUESTIONS.fullmatch(path) is not None


def _is_query(body: bytes) -> bool:
    """Whether a GraphQL request only reads. A field that is called like a forbidden word is refused as well."""
    try:
        query = json.loads(body)["query"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(query, str) and re.search(r"\b(mutation|subscription)\b", query) is None


async def _refuse(send: Send) -> None:
    body = json.dumps({"error_code": "PERMISSION_DENIED", "message": _REFUSAL}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _with_policy(send: Send) -> Send:
    async def send_with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"content-security-policy", _POLICY)]}
        await send(message)

    return send_with_policy


def _load(database: str, artifacts: str) -> Asgi:
    """MLflow's own application, which reads its settings when it is imported."""
    os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"})
    # MLflow knows what it still uses of others.
    warnings.filterwarnings("ignore", message="starlette.middleware.wsgi is deprecated")
    from mlflow.server import constants  # noqa: PLC0415

    os.environ.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: database,
            constants.REGISTRY_STORE_URI_ENV_VAR: database,
            constants.ARTIFACT_ROOT_ENV_VAR: artifacts,
            constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        }
    )
    from mlflow.server.fastapi_app import app  # noqa: PLC0415

    return cast(Asgi, app)


if __name__ == "__main__":
    pages = ReadOnly(_load(os.environ[DATABASE], os.environ[ARTIFACTS]))
    application = TokenRequired(pages, os.environ[TOKEN])
    uvicorn.run(application, host=sys.argv[1], port=int(sys.argv[2]), log_level="warning")
