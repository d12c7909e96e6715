"""A client of the REST doors in the same process."""

import asyncio
from typing import Any

import httpx
from starlette.applications import Starlette
from support.handlers import OpenHandler

from athanor.serving.doors.health import Health
from athanor.serving.doors.rest import build_rest


class RestClient:
    """Calls an application as a server does: the caller sees its response, and not what it raises."""

    def __init__(self, opened: OpenHandler) -> None:
        self.opened = opened
        self.health = Health()
        self.health.serve()
        self.app: Starlette = build_rest(opened.handler, self.health)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self.ask(method, path, **options))

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)
